"""Data sets that come with the package, and simulators that return the truth with the data.

Here the names are bound in the package itself, since users write ``mx.datasets.load("star")``; the modules behind
them are `load` (what is shipped), `flipped_classroom`, `varying_effects` (the ladder of models), `mindset` (whom to
coach), `reviews` (effect sizes with moderators), `surveys` (pupils in schools, drawn with weights) and
`benchmark_shapes`.
"""

from mixedfx.datasets.flipped_classroom import FlippedClassroomTruth, simulate_flipped_classroom
from mixedfx.datasets.load import Dataset, about, describe, load, names
from mixedfx.datasets.mindset import MindsetTruth, simulate_mindset
from mixedfx.datasets.reviews import ReviewTruth, simulate_review
from mixedfx.datasets.simulated import Simulated, Truth
from mixedfx.datasets.surveys import SurveyTruth, simulate_survey
from mixedfx.datasets.varying_effects import simulate_varying_effects

__all__ = [
    "Dataset",
    "FlippedClassroomTruth",
    "MindsetTruth",
    "ReviewTruth",
    "Simulated",
    "SurveyTruth",
    "Truth",
    "about",
    "describe",
    "load",
    "names",
    "simulate_flipped_classroom",
    "simulate_mindset",
    "simulate_review",
    "simulate_survey",
    "simulate_varying_effects",
]
