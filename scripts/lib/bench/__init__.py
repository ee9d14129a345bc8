# SPDX-License-Identifier: Apache-2.0
"""What scripts/bench is made of: programs and rounds (measure), sessions of loopwatch (session), the table, and the rows by theme."""
