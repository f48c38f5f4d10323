"""The table of circuits: what it says of made rows."""

from experiments.circuit_facts import Played
from experiments.circuit_table import Costs, Row, markdown, verdicts


def _row(name, alone_pj, accuracy=None, **more):
    costs = {node: Costs(alone_pj * 1e-12, 100e-12, 5e-9) for node in ("45 nm", "7 nm")}
    found = {} if accuracy is None else {"hardware_mean": accuracy, "hardware_worst": accuracy - 0.01, "chips": 32}
    return Row(name, costs, found, 1000, **more)


ROWS = [
    _row("a", 70.0, 0.95, token_s=9e-6, area_um2=2000.0, played=(Played(0.99, 5, 6), Played(1.021, 6, 6))),
    _row("b", 3.1, 0.945, token_s=0.355e-6, area_um2=3000.0),
    _row("c", 9.7, 0.93),
    _row("d", 2.0),
]


def test_a_row_shows_what_was_measured_and_a_dash_for_the_rest():
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown(ROWS).splitlines()]
    assert table[2] == [
        "a",
        "95.0",
        "94.0",
        "32",
        *["70.0"] * 2,
        *["100"] * 2,
        *["5.00"] * 2,
        "9.00",
        "2,000",
        "+2.1 %",
        "11 of 12",
    ]
    assert table[4][:4] == ["c", "93.0", "-", "-"] and table[5][1] == table[5][-1] == "-"


def test_the_verdict_is_worked_out():
    """One standard error of 95 % of 1,000 is 0.7 points: 94.5 % is level with it, 93 % is not."""
    said = verdicts(ROWS)
    assert "Accuracy: a, level with b; below by more than one sampling error: c." in said
    assert "pJ a token, 7 nm: d (2.00) before b (3.10)." in said
    assert "µs a token: b (0.355) before a (9.00)." in said
