"""An experiment and its report, in a few lines; on the embedded pair it takes some minutes."""

from smart_speed.analysis import AnalysisPipeline
from smart_speed.experiment import ExperimentConfig, ExperimentRunner

config = ExperimentConfig(
    drafter_model_path="default",  # or "path/to/small-model"
    verifier_model_path="default",  # or "path/to/large-model"
    dataset_name="builtin",  # or "wikitext", "gsm8k", "path/to/prompts.jsonl" …
    dataset_split="test",
    num_samples=18,
    num_calibration_samples=12,
    max_sequence_length=512,
    max_new_tokens=48,
    conditions="quick",
    experiment_name="entropy_exp_v1",
    output_dir="./results/entropy_exp_v1",
)
ExperimentRunner(config).run_full_experiment()

AnalysisPipeline(
    experiment_dir="./results/entropy_exp_v1", output_dir="./analysis/entropy_exp_v1"
).run_full_analysis()
