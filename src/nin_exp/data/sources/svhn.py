"""SVHN, cropped digits: 99,289 house-number digits, 32x32 colour (Netzer et al. 2011); non-commercial use only."""

from __future__ import annotations

from dataclasses import dataclass

from nin_exp.data.formats.svhn_layout import SvhnLayout
from nin_exp.data.named import Layout, NamedSource


@dataclass(frozen=True, kw_only=True)
class SVHN(NamedSource):
    """SVHN; further arguments as in ``DataSource``.

    Args:
        extra: add the 531,131 easier images of the extra file to the training images. It is looked for in torchvision's
            layout, or as ``svhn_extra.npz``; a given ``.npz`` is read as it is.
    """

    extra: bool

    @property
    def layout(self) -> Layout:
        return SvhnLayout(extra=self.extra)
