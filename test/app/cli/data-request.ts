import type { DataRequest } from "../../../src/app/cli/flags/data.ts";

/** `--data` with nothing else said. */
export const dataAt = (path: string): DataRequest => ({
  ...{ path, part: undefined, preprocess: undefined, samples: undefined, batch: undefined },
  ...{ set: {}, states: [] },
});
