"""Errors say in one line what is wrong and what to do, and are found in what libraries wrap around them."""

from __future__ import annotations

import pickle

import pytest

from bundle.errors import CallError, UnreadablePhotographError, bare_call_errors, error_chain, find_error


def wrapped(error: Exception) -> RuntimeError:
    """As MONAI wraps what a config raises, twice: once by its cause, once by what was handled meanwhile."""
    middle, outer = RuntimeError("Failed to evaluate"), RuntimeError("Failed to instantiate")
    middle.__cause__, outer.__context__ = error, middle
    return outer


def test_the_line_names_problem_and_remedy():
    error = CallError("bad\tvalue.", "Pass\nanother.")
    assert str(error) == "bad value. Pass another."
    assert error.message == "error: bad value. Pass another."
    assert (error.problem, error.remedy) == ("bad\tvalue.", "Pass\nanother.")
    # What a notebook catches.
    assert isinstance(error, ValueError)


def test_an_unreadable_photograph_is_named_with_its_reason():
    error = UnreadablePhotographError("b/a.png", "it is\n  empty")
    assert isinstance(error, ValueError)
    assert (error.path, error.reason) == ("b/a.png", "it is empty")
    assert str(error) == "b/a.png: it is empty"


@pytest.mark.parametrize("error", [CallError("bad value.", "Pass another."), UnreadablePhotographError("a", "empty")])
def test_errors_come_back_from_another_process(error):
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is type(error)
    assert str(back) == str(error)
    assert vars(back) == vars(error)


def test_an_error_is_found_down_the_chain():
    cause = UnreadablePhotographError("a.png", "empty")
    end = wrapped(cause)
    assert find_error(cause, UnreadablePhotographError) is cause
    assert find_error(end, UnreadablePhotographError) is cause
    assert find_error(end, CallError) is None
    assert find_error(None, CallError) is None
    assert list(error_chain(end))[-1] is cause


def test_an_error_that_was_set_aside_is_not_found():
    def fail():
        try:
            raise CallError("bad value.", "Pass another.")
        except CallError:
            raise KeyError("a fault") from None

    with pytest.raises(KeyError) as caught:
        fail()
    assert isinstance(caught.value.__context__, CallError)
    assert find_error(caught.value, CallError) is None


def test_a_ring_of_errors_ends():
    first, second = KeyError(), RuntimeError()
    first.__cause__, second.__cause__ = second, first
    assert list(error_chain(first)) == [first, second]
    assert find_error(first, CallError) is None


def test_a_call_error_leaves_as_itself():
    call = CallError("bad value.", "Pass another.")
    with pytest.raises(CallError) as caught, bare_call_errors():
        raise wrapped(call)
    assert caught.value is call
    assert call.__suppress_context__
    # Raised as it is, too, and from within what was already unwrapped.
    for _ in range(2):
        with pytest.raises(CallError) as caught, bare_call_errors(), bare_call_errors():
            raise call
        assert caught.value is call


@pytest.mark.parametrize("error", [KeyError("a fault"), SystemExit(1), KeyboardInterrupt()])
def test_other_errors_pass_unchanged(error):
    with pytest.raises(type(error)) as caught, bare_call_errors():
        raise error
    assert caught.value is error
