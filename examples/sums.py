"""An executor of type `sums`: python3 examples/sums.py"""

from colonies_node import execute, function


@function
def add(first: float, second: float = 1) -> float:
    """Add two numbers."""
    return first + second


if __name__ == "__main__":
    execute(type="sums", name="sums")
