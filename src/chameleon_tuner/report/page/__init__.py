"""The page of a run, `report.html`: all that is known of it, in one file that works offline."""

from chameleon_tuner.report.page.page import renew_page, try_to_write_page, write_page

__all__ = ["renew_page", "try_to_write_page", "write_page"]
