"""Stage `seal`: writes down the digests of all that is searched with: only files of one run are used together."""

from pipeline.paths import RUN, SEALED
from pipeline.stage import run_stage

from similarity.digests import digest_files
from similarity.files import Outputs, write_json_entries
from similarity.params import Params


def main(_: Params, outputs: Outputs) -> None:
    digests = digest_files(SEALED)
    write_json_entries(outputs.file(RUN), digests.items())
    print(f"seal: {len(digests)} files are of one run, their digests are in {RUN}")


if __name__ == "__main__":
    run_stage(main)
