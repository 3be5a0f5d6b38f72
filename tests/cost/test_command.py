"""`qapflow cost`: text, JSON, exit codes."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from qapflow.cli.main import main
from tests.cli.test_main import BOX, layer, save, tiny

DIGITS = Path(__file__).parent.parent.parent / "examples" / "digits" / "digits.h5"


def told(capsys, *arguments):
    assert main(["cost", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_golden(capsys, golden):
    text = told(capsys, DIGITS)
    assert max(map(len, text.splitlines())) <= 100
    assert text == golden


def test_golden_with_a_board(capsys, golden):
    text = told(capsys, DIGITS, "--board", "pynq-z2", "--reuse-factor", "4")
    assert max(map(len, text.splitlines())) <= 100
    assert text == golden


def test_json(capsys):
    found = json.loads(told(capsys, DIGITS, "--board", "xcvu9p", "--json"))
    assert found["format"] == "qapflow cost 1"
    assert found["model"] == "digits.h5"
    assert found["exact"] is True
    total = found["cost"]["total"]
    assert total["weights"] == 64 * 32 + 32 * 32 + 32 * 10
    assert total["nonzeros"] == sum(x["cost"]["nonzeros"] for x in found["cost"]["layers"])
    assert set(found["conventions"]) <= set(total)
    assert found["board"]["target"]["name"] == "xcvu9p"
    assert found["board"]["totals"]["lut"]["source"] == "estimate"
    assert json.loads(told(capsys, DIGITS, "--json"))["board"] is None


def test_input_types_change_the_input(capsys, tmp_path):
    """Six weights of 4 bits, one of them zero, with an input of 12 or 16 bits."""
    model = tiny(tmp_path / "tiny.h5")
    for kind, bits in (("fixed<12,6>", 12), ("fixed<16,6>", 16)):
        text = told(capsys, model, "--json", "--input-type", kind)
        total = json.loads(text)["cost"]["total"]
        log = math.log2(3)
        assert total["bops_input_own"] == 5 * bits * 4 + 6 * (bits + 4 + log)
        assert total["bops_input_32"] == 5 * 32 * 4 + 6 * (32 + 4 + log)


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["no.h5"], 2, "no.h5"),
        ([DIGITS, "--reuse-factor", "4"], 2, "without a board there is no estimate to plan"),
        ([DIGITS, "--board", "nowhere"], 2, "nowhere"),
        ([DIGITS, "--board", "xcvu9p", "--clock-ns", "0"], 2, "--clock-ns is 0"),
        ([DIGITS, "--float-bits", "2"], 2, "--float-bits is 2"),
        ([DIGITS, "--input-type", "wide"], 2, "'wide' is not a fixed-point type"),
        ([DIGITS.with_name("README.md")], 2, "README.md"),
    ],
)
def test_bad_input(arguments, code, text, capsys):
    assert main(["cost", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    assert text in captured.err
    assert captured.out == ""


def test_an_unsupported_model_is_refused_whole(capsys, tmp_path):
    layers = [BOX, layer("Wizardry", "w"), layer("Sorcery", "s")]
    assert main(["cost", str(save(tmp_path / "u.h5", layers)), "--json"]) == 4
    captured = capsys.readouterr()
    assert "2 things in this model cannot be built" in captured.err
    assert json.loads(captured.out)["exit_code"] == 4


def test_it_needs_no_keras():
    code = (
        "import sys\nfrom qapflow.cli.main import main\n"
        f"main(['cost', {str(DIGITS)!r}, '--json'])\n"
        "heavy = {'tensorflow', 'keras', 'tf_keras', 'qkeras', 'hls4ml', 'pydantic'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"
