"""The graph made executable: a tuple of passes that receive history and settings as data."""

from penstock.plan.model import Plan, PlanGraph, PlanNode
from penstock.plan.passes import make_plan

__all__ = ["Plan", "PlanGraph", "PlanNode", "make_plan"]
