"""The command that measures a model, or answers that are there already, as the published tables do: eval."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from rich.console import Console

from infimm_data.errors import ConfigError
from infimm_data.files import write_bytes
from pipelines.report import say


def add_commands(commands: Any) -> None:
    """Add the command of this module to the parser."""
    text = "measure a checkpoint on benchmarks, or score a file of answers"
    parser = commands.add_parser("eval", help=text, description=text[0].upper() + text[1:] + ".")
    parser.add_argument("recipes", nargs="*", metavar="RECIPE", help="YAML recipes, see configs/eval/")
    parser.add_argument("--checkpoint", help="folder of a training run, or of one of its checkpoints")
    parser.add_argument("--out", help="folder for answers, scores and tables")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes, one per GPU where there are any"
    )
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda"), help="default: GPUs if there are any"
    )
    parser.add_argument("--task", metavar="NAME", help="score answers of this task: vqav2, coco, mme, ...")
    parser.add_argument("--predictions", metavar="FILE", help="the answers, in the official layout, plain or .gz")
    parser.add_argument("--references", metavar="FILE", help="the right answers, in the official layout, plain or .gz")
    parser.add_argument("--partial", action="store_true", help="score only what was answered")
    parser.add_argument("--guess", type=int, metavar="SEED", help="guess where no option can be read; default: wrong")
    parser.add_argument("--items", metavar="FILE", help="also write the points of every question, as JSON")
    parser.add_argument("--judge", metavar="URL", help="endpoint of a judge, up to /v1; its key: $OPENAI_API_KEY")
    parser.add_argument("--judge-model", metavar="NAME", help="model to ask there")
    parser.add_argument(
        "--judge-cache", metavar="FILE", help="keep the judge's verdicts; default with --out: OUT/judge.jsonl"
    )
    parser.add_argument("--judge-prompt", metavar="FILE", help="prompt of the grader; default: ours")
    parser.add_argument("--judge-runs", type=int, default=1, metavar="N", help="grades per answer; their mean counts")
    parser.set_defaults(run=run_eval)


def run_eval(arguments: argparse.Namespace, console: Console) -> bool:
    """Score a file of answers, or run recipes on a checkpoint."""
    if arguments.task or arguments.predictions:
        if arguments.recipes or arguments.checkpoint:
            raise ConfigError(
                "--task and --predictions score answers; RECIPE and --checkpoint make them: give one of both"
            )
        return _score_file(arguments)
    if not (arguments.recipes and arguments.checkpoint and arguments.out):
        raise ConfigError(
            "give RECIPE ... --checkpoint C --out OUT, or --task NAME --predictions FILE --references FILE"
        )
    return _run_recipes(arguments, console)


def _run_recipes(arguments: argparse.Namespace, console: Console) -> bool:
    """Answer the questions of every recipe, score them and write the tables."""
    from model.evaluation.recipe import load_eval_recipe
    from model.evaluation.run import evaluate

    recipes = [load_eval_recipe(path) for path in arguments.recipes]
    outcomes = evaluate(
        recipes,
        arguments.checkpoint,
        arguments.out,
        workers=arguments.workers,
        device=arguments.device,
        scoring=_scoring(arguments),
    )
    for outcome in outcomes:
        name = f"{outcome.cell.recipe.task}, {outcome.cell.shots} shots"
        if outcome.result is None:
            say(console, f"{name}: answers for the server in {outcome.cell.folder}/predictions.json")
        else:
            say(console, f"{name}: {outcome.result.score:.2f} ({outcome.result.count} questions)")
    say(console, f"tables: {arguments.out}/tables.md, {arguments.out}/tables.html")
    return True


def _score_file(arguments: argparse.Namespace) -> bool:
    """Print one JSON object with the score."""
    from model.evaluation.table import task_named

    if not arguments.task or not arguments.predictions:
        raise ConfigError(
            "--task and --predictions belong together, e.g. --task vqav2 --predictions FILE --references FILE"
        )
    result = task_named(arguments.task).score(
        arguments.task, arguments.predictions, arguments.references, _scoring(arguments)
    )
    if arguments.items:
        write_bytes(arguments.items, (json.dumps(result.items_json(), ensure_ascii=False) + "\n").encode())
    sys.stdout.write(json.dumps(result.as_json(), indent=1, ensure_ascii=False) + "\n")
    return True


def _scoring(arguments: argparse.Namespace) -> Any:
    from model.evaluation.answers import read_text
    from model.evaluation.judge import Judge
    from model.evaluation.scoring import Scoring

    judge = None
    if arguments.judge_runs < 1:
        raise ConfigError(f"--judge-runs {arguments.judge_runs}: expected at least 1")
    if arguments.judge:
        if not arguments.judge_model:
            raise ConfigError("--judge-model is needed with --judge: the name of the model at that endpoint")
        cache = arguments.judge_cache or (f"{arguments.out}/judge.jsonl" if arguments.out else None)
        judge = Judge(url=arguments.judge, model=arguments.judge_model, cache=cache)
    return Scoring(
        is_partial=arguments.partial,
        guess_seed=arguments.guess,
        judge=judge,
        grader=read_text(arguments.judge_prompt) if arguments.judge_prompt else None,
        grader_runs=arguments.judge_runs,
    )
