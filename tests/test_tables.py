import pandas
import pytest

from domain_denoiser import tables
from domain_denoiser.errors import BadInput

HEADER = b"sigma,image,mse,psnr_db,ssim\n"


def test_table_survives_its_file(tmp_path):
    rows = [
        (0.5, 0, 0.1, 10.0, 1 / 3),
        (0.5, 1, 1e-10, 100.0, -0.25),
        (1.0, 0, 0.0, 100.0, 1.0),
        (1.0, 1, 0.5, 3.0, 0.0),
    ]
    table = pandas.DataFrame(rows, columns=tables.COLUMNS)
    table.to_csv(tmp_path / "model.csv", index=False, float_format="%.9g")
    pandas.testing.assert_frame_equal(tables.load(tmp_path / "model.csv"), table, rtol=1e-8, atol=0)


def test_columns_have_the_same_types_whatever_the_numbers():
    found = tables.parse(HEADER + b"0,0,0,100,1\n", "model.csv")
    assert list(found.dtypes) == [float, int, float, float, float]


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (b"", "is not a table"),
        (b"\xff\xfe\x00", "is not a table"),
        (b"a,b\n1,2\n1,2,3\n", "is not a table"),
        (b"sigma,image\n0.5,1\n", "has the columns sigma, image, but sigma, image, mse, psnr_db, ssim are wanted"),
        (b",".join(b"c%d" % column for column in range(21)) + b"\n", r"has the columns c0, .*c19, \.\.\., but sigma"),
        (HEADER + b"0.5,1,low,10,0.5\n", "is not a table"),
        (HEADER + b"0.5,,0.1,10,0.5\n", "is not a table"),
    ],
)
def test_broken_table_is_refused(tmp_path, content, wanted):
    (tmp_path / "model.csv").write_bytes(content)
    with pytest.raises(BadInput, match=f"model.csv {wanted}"):
        tables.load(tmp_path / "model.csv")


def test_missing_table_is_refused(tmp_path):
    with pytest.raises(BadInput, match="model.csv cannot be read: No such file"):
        tables.load(tmp_path / "model.csv")
