"""Stage `seal`: writes down the digests of all that is searched with: only files of one run are used together."""

from pipeline.paths import RUN
from pipeline.seal_writing import write_seal
from pipeline.stage import run_stage

from similarity.files import Outputs
from similarity.params import Params


def main(_: Params, outputs: Outputs) -> None:
    print(f"seal: {write_seal(outputs)} files are of one run, their digests are in {RUN}")


if __name__ == "__main__":
    run_stage(main)
