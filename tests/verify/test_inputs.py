import numpy as np
import pytest

from qapflow.errors import UsageError
from qapflow.ir.fixed import Fixed
from qapflow.ir.net import Edge, Net, Node
from qapflow.ir.ops import Input
from qapflow.verify.inputs import read_inputs


def net(*shapes, kind=None):
    kind = kind or Fixed(True, 8, 4)
    names = [f"in{k}" for k in range(len(shapes))]
    nodes = tuple(
        Node(name, Input(), (), Edge(shape, kind), name)
        for name, shape in zip(names, shapes, strict=True)
    )
    return Net(nodes, (names[0],))


def saved(path, array, **more):
    (np.savez if path.suffix == ".npz" else np.save)(path, array, **more)
    return path


def test_npy_is_put_on_the_grid_and_counted(tmp_path):
    values = np.array([[0.5, -8.0, 100.0], [1 / 32, 3 / 32, -9.0]])
    got = read_inputs(saved(tmp_path / "x.npy", values), net((3,)))
    assert got.codes["in0"].tolist() == [[8, -128, 127], [0, 2, -128]]
    assert (got.samples, got.saturated, got.rounded) == (2, 2, 2)
    assert got.note == (
        "2 of 6 input values saturate; 2 of 6 input values are rounded to the input grid"
    )


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.int8, np.uint8, bool])
def test_any_real_dtype_is_taken(tmp_path, dtype):
    got = read_inputs(saved(tmp_path / "x.npy", np.ones((2, 3), dtype)), net((3,)))
    assert (got.codes["in0"] == 16).all()
    assert got.note == ""


def test_a_flattened_sample_is_row_major(tmp_path):
    values = np.arange(12).reshape(2, 6) / 16
    got = read_inputs(saved(tmp_path / "x.npy", values), net((2, 3, 1)))
    assert got.codes["in0"][1, :, :, 0].tolist() == [[6, 7, 8], [9, 10, 11]]


def test_npz_by_name_in_order_and_csv_side_by_side(tmp_path):
    a, b = np.full((2, 1), 1.0), np.full((2, 2), 2.0)
    two = net((1,), (2,))
    np.savez(tmp_path / "named.npz", in1=b, in0=a, other=a)
    np.savez(tmp_path / "plain.npz", a, b)
    (tmp_path / "head.csv").write_text("a,b0,b1\n1,2,2\n1,2,2\n")
    (tmp_path / "bare.csv").write_text("1,2,2\n\n1,2,2\n")
    for name in ("named.npz", "plain.npz", "head.csv", "bare.csv"):
        got = read_inputs(tmp_path / name, two)
        assert got.codes["in0"].tolist() == [[16], [16]]
        assert got.codes["in1"].tolist() == [[32, 32], [32, 32]]


def test_missing_file_and_unknown_kind(tmp_path):
    with pytest.raises(UsageError, match="the file of inputs is not there"):
        read_inputs(tmp_path / "x.npy", net((3,)))
    with pytest.raises(UsageError, match=r"inputs in a \.txt cannot be read"):
        read_inputs(tmp_path / "x.txt", net((3,)))


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
def test_garbage_is_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"1\n\xff\xfe\x00garbage,,\x80")
    with pytest.raises(UsageError, match="the inputs cannot be read"):
        read_inputs(path, net((3,)))


def test_a_truncated_npy_is_refused(tmp_path):
    path = saved(tmp_path / "x.npy", np.zeros((100, 3)))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UsageError, match="the inputs cannot be read"):
        read_inputs(path, net((3,)))


def test_pickles_are_not_loaded(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"the inputs cannot be read \(Object arrays"):
        read_inputs(path, net((3,)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(tmp_path, bad):
    path = saved(tmp_path / "x.npy", np.array([[0.0, bad, bad]]))
    with pytest.raises(UsageError, match=r"'in0' contains NaN or infinity \(2 values\)"):
        read_inputs(path, net((3,)))


@pytest.mark.parametrize("shape", [(3,), (2, 4), (2, 3, 1), (), (0,)])
def test_a_wrong_shape_is_refused_with_the_right_one(tmp_path, shape):
    path = saved(tmp_path / "x.npy", np.zeros(shape))
    with pytest.raises(UsageError, match=r"the network takes \(n, 3\)"):
        read_inputs(path, net((3,)))


@pytest.mark.parametrize("dtype", [complex, "S3", "U3", "datetime64[s]"])
def test_a_dtype_without_real_numbers_is_refused(tmp_path, dtype):
    path = saved(tmp_path / "x.npy", np.zeros((2, 3), dtype))
    with pytest.raises(UsageError, match="which holds no real numbers"):
        read_inputs(path, net((3,)))


def test_longdouble_is_refused(tmp_path):
    path = saved(tmp_path / "x.npy", np.zeros((2, 3), np.longdouble))
    with pytest.raises(UsageError, match="has dtype float128"):
        read_inputs(path, net((3,)))


def test_no_sample(tmp_path):
    with pytest.raises(UsageError, match="the inputs hold no sample"):
        read_inputs(saved(tmp_path / "x.npy", np.zeros((0, 3))), net((3,)))
    (tmp_path / "x.csv").write_text("a,b,c\n")
    with pytest.raises(UsageError, match="the inputs hold no sample"):
        read_inputs(tmp_path / "x.csv", net((3,)))


def test_a_wrong_number_of_columns(tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n3,4\n")
    with pytest.raises(UsageError, match="the file has 2 columns, a sample has 3 values"):
        read_inputs(tmp_path / "x.csv", net((3,)))


def test_arrays_and_archives_are_not_mixed_up(tmp_path):
    with pytest.raises(UsageError, match=r"the network has 2 inputs, a .npy holds one"):
        read_inputs(saved(tmp_path / "x.npy", np.zeros((1, 3))), net((3,), (3,)))
    np.savez(tmp_path / "a.npz", np.zeros((1, 3)))
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(UsageError, match="this is an archive, not one array"):
        read_inputs(tmp_path / "a.npy", net((3,)))
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(UsageError, match="this is one array, not an archive"):
        read_inputs(tmp_path / "x.npz", net((3,)))


def test_an_archive_with_other_names(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.zeros((1, 3)))
    with pytest.raises(UsageError, match="the archive holds images, the network's inputs are in0"):
        read_inputs(tmp_path / "x.npz", net((3,)))


def test_inputs_of_different_length(tmp_path):
    np.savez(tmp_path / "x.npz", np.zeros((1, 3)), np.zeros((2, 3)))
    with pytest.raises(UsageError, match="different numbers of samples"):
        read_inputs(tmp_path / "x.npz", net((3,), (3,)))


def test_wide_inputs_are_exact(tmp_path):
    values = np.array([[2.0**70, -1.0, 2.0**-3]])
    got = read_inputs(saved(tmp_path / "x.npy", values), net((3,), kind=Fixed(True, 80, 3)))
    assert got.codes["in0"].tolist() == [[2**73, -8, 1]]
