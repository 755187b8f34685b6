"""The paper's explorer: a PPO agent that moves in the design space, rewarded by the cost model.

PyTorch is imported when an agent is first built, not with this package.
"""

from chameleon_tuner.search.explore.ppo.config import PAPER, TUNED, PPOConfig
from chameleon_tuner.search.explore.ppo.explorer import PPOExplorer

__all__ = ["PAPER", "TUNED", "PPOConfig", "PPOExplorer"]
