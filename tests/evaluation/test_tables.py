import pandas
import pytest

from domain_denoiser.base.errors import BadInput
from domain_denoiser.evaluation import tables

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
        (b"sigma,image\n0.5,1\n", "has the columns sigma, image, but lacks mse, psnr_db, ssim"),
        (
            b",".join(b"c%d" % column for column in range(21)) + b"\n",
            r"has the columns c0, .*c19, \.\.\., but lacks sigma",
        ),
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


def test_a_column_more_is_left_out():
    found = tables.parse(b"sigma,image,lpips,mse,psnr_db,ssim\n0,0,x,0,100,1\n", "model.csv")
    assert list(found.columns) == tables.COLUMNS


def test_a_reader_of_older_tables_names_what_it_needs():
    older = b"sigma,image,psnr_db\n0,0,100\n"
    assert list(tables.parse(older, "model.csv", ("sigma", "image", "psnr_db"))["psnr_db"]) == [100.0]
    with pytest.raises(BadInput, match="model.csv has the columns sigma, image, psnr_db, but lacks mse, ssim"):
        tables.parse(older, "model.csv")


def test_a_history_of_another_version_has_what_it_has():
    found = tables.history(b"epoch,val_psnr_db,other\n1,20,7\n", "history.csv", optional=tables.HISTORY[1:])
    assert list(found.columns) == ["epoch", "val_psnr_db"]
    with pytest.raises(BadInput, match="lacks epoch"):
        tables.history(b"val_psnr_db\n20\n", "history.csv", optional=tables.HISTORY[1:])
