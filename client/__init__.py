"""Everything between an image in memory and its loss map or feature, served by Triton."""

from client import telemetry

telemetry.switch_off()
