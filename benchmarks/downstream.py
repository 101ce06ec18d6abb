"""Does it help a denoiser? One small denoiser, trained on corpora that differ in one factor at a time.

    python benchmarks/downstream.py PHOTOGRAPHS EMVA_DESCRIPTOR --raws RAWS --work downstream/
    python benchmarks/downstream.py PHOTOGRAPHS EMVA_DESCRIPTOR --raws RAWS --work longer/ --device cuda \\
        --steps 60000 --batch 32 --width 32 --crops 20000 --seeds 3 --single-seeds 3
    python benchmarks/downstream.py ... --sidd SIDD --eld ELD        # real noise too, with the trained denoisers

The short form takes half an hour on two cores. Every finished part of the clean RAW, every 100 steps of a training and
every finished denoiser stays in --work: stop it at any time, the same command goes on. docs/downstream.md says what is
compared, what of it is real and what is synthetic.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import torch
from downstream_corpora import BROOKS, CORPORA, OURS, Corpus, clean_corpora, describe, noise_of
from downstream_denoiser import Schedule, SmallUNet, denoise, train, variance_map
from downstream_picture import save_picture
from downstream_real import real_shots
from downstream_report import Score, tables
from downstream_scenes import Scene, raw_files, read_scenes, take_shots
from downstream_sensor import Sensor, open_sensor
from torch import Tensor

from rawsynth.evaluation.aim22 import aim22_ssim
from rawsynth.evaluation.metrics import psnr

_CROP, _CORPUS_SEED, _TEST_SEED = 128, 7, 11
SEMI_SYNTHETIC = "semi-synthetic (real clean RAW, simulated photons, real dark frames)"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photographs", help="folder of sRGB photographs, that all corpora are made of")
    parser.add_argument("emva", type=Path, help="descriptor of EMVA1288 set 001, with its static dark frames")
    parser.add_argument("--raws", nargs="+", required=True, help="clean RAW files, or folders of them, to test on")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps everything")
    parser.add_argument("--color-of", default="Nikon Z 30", help="camera whose colour the sensor gets")
    parser.add_argument("--crops", type=int, default=1500, help="clean crops a corpus, in hundreds")
    parser.add_argument("--electrons", type=float, nargs="+", default=[100, 400, 1600], help="at white, in the tests")
    parser.add_argument("--steps", type=int, default=600, help="updates of each denoiser")
    parser.add_argument("--batch", type=int, default=16, help="crops an update")
    parser.add_argument("--width", type=int, default=16, help="channels of the denoiser's first level")
    parser.add_argument("--seeds", type=int, default=3, help="of the deciding comparison")
    parser.add_argument("--single-seeds", type=int, default=1, help="of the other corpora")
    parser.add_argument("--device", default="cpu", help="that trains and tests")
    parser.add_argument("--float32", action="store_true", help="no bfloat16 products in training")
    parser.add_argument("--jobs", type=int, default=2, help="trainings at once, each of one thread; 1 on a GPU")
    parser.add_argument("--sidd", help="folder of SIDD raw, to test on real noise as well")
    parser.add_argument("--eld", help="folder of ELD, likewise")
    parser.add_argument("--report-only", action="store_true", help="train nothing, report what is finished")
    return parser.parse_args()


def schedule_of(args: argparse.Namespace) -> Schedule:
    """Return the one schedule."""
    return Schedule(args.steps, args.batch, width=args.width, device=args.device, bfloat16=not args.float32)


def place_of(args: argparse.Namespace, corpus: Corpus, seed: int) -> Path:
    """Return where a denoiser is kept; another schedule has another name."""
    kind = f"w{args.width}-b{args.batch}-s{args.steps}-n{args.crops}{'-f32' if args.float32 else ''}"
    return Path(args.work) / f"{corpus.name}-{seed}-{kind}.pt"


def planned(args: argparse.Namespace) -> list[tuple[Corpus, int]]:
    """Return what is to be trained: seed 0 of every corpus, then further seeds."""
    counts = {corpus: args.seeds if corpus in (BROOKS, OURS) else args.single_seeds for corpus in CORPORA}
    return [(corpus, seed) for seed in range(max(counts.values())) for corpus in CORPORA if seed < counts[corpus]]


def train_one(job: tuple[argparse.Namespace, Corpus, int]) -> None:
    """Train one denoiser in a process of its own."""
    args, corpus, seed = job
    torch.set_num_threads(1)
    sensor = open_sensor(args.emva, args.work, color_of=args.color_of)
    clean = _clean(args, sensor)[corpus.isp]
    train(clean, noise_of(corpus, sensor), schedule_of(args), seed=seed, place=place_of(args, corpus, seed),
          observe=_say)  # fmt: skip


def _clean(args: argparse.Namespace, sensor: Sensor) -> dict[str, object]:
    return clean_corpora(
        args.photographs, sensor, args.work, count=args.crops, crop=_CROP, seed=_CORPUS_SEED, observe=_say
    )


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def train_all(args: argparse.Namespace) -> None:
    """Train what is not finished yet."""
    jobs = [(args, *what) for what in planned(args) if not place_of(args, *what).exists()]
    _say(f"{len(jobs)} of {len(planned(args))} denoisers to train")
    if jobs:
        _clean(args, open_sensor(args.emva, args.work, color_of=args.color_of))
        with multiprocessing.get_context("spawn").Pool(args.jobs, maxtasksperchild=1) as pool:
            for _ in pool.imap_unordered(train_one, jobs, chunksize=1):
                pass


def finished(args: argparse.Namespace) -> Iterator[tuple[str, int, SmallUNet]]:
    """Yield every finished denoiser with its corpus and seed."""
    for corpus, seed in planned(args):
        place = place_of(args, corpus, seed)
        if place.exists():
            network = SmallUNet(args.width)
            network.load_state_dict(torch.load(place, weights_only=True, map_location="cpu"))
            yield corpus.name, seed, network.to(args.device).eval()


def judge(args: argparse.Namespace, scenes: list[Scene], sensor: Sensor) -> list[Score]:
    """Denoise every test with every finished denoiser."""
    scores = []
    shots = list(take_shots(scenes, sensor, args.electrons, seed=_TEST_SEED))
    for name, seed, network in [("noisy", 0, None), *finished(args)]:
        for shot in shots:
            result = shot.noisy
            if network is not None:
                result = denoise(network, shot.noisy, variance_map(shot.noisy[None], shot.shot, shot.read)[0])
            where = (SEMI_SYNTHETIC, f"{shot.electrons:g} e-", shot.scene, shot.crop)
            scores.append(Score(name, seed, *where, *_measure(result, shot.clean)))
    return scores


def _measure(result: Tensor, clean: Tensor) -> tuple[float, float]:
    clipped = result.clamp(0, 1)
    return float(psnr(clipped, clean)), float(aim22_ssim(clipped, clean))


def report(args: argparse.Namespace) -> None:
    """Write report.md, report.json and picture.jpg."""
    sensor = open_sensor(args.emva, args.work, color_of=args.color_of)
    scenes = read_scenes(raw_files(args.raws))
    scores = judge(args, scenes, sensor) + real_shots(list(finished(args)), sidd=args.sidd, eld=args.eld)
    text, figures = tables(scores, [corpus.name for corpus in CORPORA])
    facts = {
        "command": {key: str(value) for key, value in vars(args).items()},
        "commit": _commit(), "machine": platform.processor() or platform.machine(), "torch": torch.__version__,
        "schedule": asdict(schedule_of(args)), "parameters": sum(p.numel() for p in SmallUNet(args.width).parameters()),
        "sensor": sensor.figures, "clean": describe(_clean(args, sensor)),  # type: ignore[arg-type]
        "scenes": {scene.name: {"crops": len(scene.crops), "own_noise_db": scene.noise_db} for scene in scenes},
    }  # fmt: skip
    everything = {"facts": facts, "figures": figures, "scores": [asdict(score) for score in scores]}
    (args.work / "report.json").write_text(json.dumps(everything, indent=1))
    (args.work / "report.md").write_text(f"{text}\n\n```json\n{json.dumps(facts, indent=1)}\n```\n")
    networks = {name: network for name, seed, network in finished(args) if seed == 0}
    if {BROOKS.name, OURS.name} <= set(networks):
        chosen = {"Brooks": networks[BROOKS.name], "ours": networks[OURS.name]}
        save_picture(args.work / "picture.jpg", scenes, sensor, chosen, electrons=args.electrons[:2], seed=_TEST_SEED)
    print(text)


def _commit() -> str:
    here = Path(__file__).parent
    done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Calibrate, make the corpora, train, test."""
    args = parse()
    args.work.mkdir(parents=True, exist_ok=True)
    if not args.report_only:
        train_all(args)
    report(args)


if __name__ == "__main__":
    main()
