import type { Candidate } from "../backend/backend.ts";

type Tested = Pick<Candidate, "name" | "run">;

/** Returns whether a candidate is an earlier one of the same settings and goal that was tested on fewer of the same samples. */
export function isSuperseded(earlier: Tested, candidate: Tested): boolean {
  const [before, after] = [earlier.run, candidate.run];
  if (before === undefined || after === undefined || earlier.name !== candidate.name) return false;
  const [few, many] = [before.data.test, after.data.test];
  return few.name === many.name && before.goal?.maxDrop === after.goal?.maxDrop && (few.count ?? 0) < (many.count ?? 0);
}
