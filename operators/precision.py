"""How weights are stored: the bits of a weight and the length of its quantisation block."""

from dataclasses import dataclass

from operators.errors import ArchitectureError

SUPPORTED_BITS = (4, 8, 32)
SUPPORTED_BLOCK_SIZES = (32, 64, 128)


@dataclass(frozen=True)
class Precision:
    """Weight-only block quantisation along the input axis: value = (code - 2**(bits-1)) * scale; 32 bits are fp32."""

    bits: int = 4
    block_size: int = 32

    def __post_init__(self) -> None:
        if self.bits not in SUPPORTED_BITS:
            raise ArchitectureError("precision.bits", self.bits, f"use one of {SUPPORTED_BITS}")
        if self.block_size not in SUPPORTED_BLOCK_SIZES:
            raise ArchitectureError(
                "precision.block_size", self.block_size, f"use one of {SUPPORTED_BLOCK_SIZES}"
            )

    @property
    def label(self) -> str:
        """Short name as shown in reports, such as ``int4-b32`` or ``fp32``."""
        return f"int{self.bits}-b{self.block_size}" if self.is_quantised else "fp32"

    @property
    def is_quantised(self) -> bool:
        """Whether weights are stored as codes and scales."""
        return self.bits < 32

    def matrix_bytes(self, rows: int, columns: int) -> int:
        """Bytes of a rows x columns matrix, with fp32 block scales along the columns if it is quantised."""
        if not self.is_quantised:
            return 4 * rows * columns
        packed = rows * columns * self.bits // 8
        return packed + rows * (columns // self.block_size) * 4
