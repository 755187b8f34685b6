"""The paper's explorer: a PPO agent that walks the design space, rewarded by the cost model.

PyTorch is imported when an agent is first made, not with this package.
"""

from chameleon_tuner.explore.ppo.config import PAPER, TUNED, PPOConfig
from chameleon_tuner.explore.ppo.explorer import PPOExplorer

__all__ = ["PAPER", "TUNED", "PPOConfig", "PPOExplorer"]
