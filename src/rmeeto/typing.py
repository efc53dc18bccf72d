"""Shape aliases and the glossary of axis letters.

B batch · N tokens now · P patches (and class tokens) at the start · M tokens after a step · C channels ·
D inner channels · S state (``N`` in mamba-ssm's own notation) · L sequence length · K classes.
"""

from jaxtyping import Bool, Float, Int64
from torch import Tensor

Images = Float[Tensor, "B channels height width"]
Tokens = Float[Tensor, "B N C"]
Sizes = Float[Tensor, "B N"]
Slots = Int64[Tensor, "B N"]
SourceMap = Int64[Tensor, "B P"]
Protected = Bool[Tensor, "B N"]
Logits = Float[Tensor, "B K"]
Labels = Int64[Tensor, " B"]
