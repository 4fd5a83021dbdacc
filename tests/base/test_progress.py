"""Progress without a terminal: plain lines, and not too many."""

from domain_denoiser.base import progress


def test_a_line_every_half_minute_says_how_far_it_is(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.counter(100, "restoring", "images") as count:
        for _ in range(90):
            now[0] += 1.0
            count(1, 0)
        count(0, 50)
        now[0] = 200.0
        count(10, 0)
    assert capsys.readouterr().err.splitlines() == [
        "restoring: 30 of 100 images, 1.0 images/s",
        "restoring: 60 of 100 images, 1.0 images/s",
        "restoring: 90 of 100 images, 1.0 images/s",
        "restoring: 100 of 150 images, 0.5 images/s",
    ]
