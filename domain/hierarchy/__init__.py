"""Hierarchies: the clusters of a run under categories that group them."""

from domain.hierarchy.hierarchy import Hierarchy
from domain.hierarchy.tree import FIRST_CATEGORY, TOP, Category, Node, Tree

__all__ = ["FIRST_CATEGORY", "TOP", "Category", "Hierarchy", "Node", "Tree"]
