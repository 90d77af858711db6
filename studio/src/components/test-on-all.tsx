import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { integerText } from "../format.ts";
import { testOnAll } from "../state/making.ts";
import { job, missingFiles, samples } from "../state/signals.ts";

/** Offers to test a candidate on all samples, if the samples of its test do not decide. */
export function TestOnAll({
  candidate: { settings, run, hasOtherTest },
  candidate,
}: {
  candidate: Candidate;
}): JSX.Element | null {
  const { available = 0 } = samples.value ?? {};
  const { count = 0 } = run?.data.test ?? {};
  const { verdict } = run?.variants[run.chosen ?? 0]?.verdict ?? {};
  if (verdict !== "undecided" || settings === undefined || hasOtherTest || available <= count) return null;
  return (
    <button
      type="button"
      disabled={job.value !== undefined || missingFiles.value !== undefined}
      onClick={() => testOnAll(candidate)}
    >
      Make it again, tested on all {integerText(available)} samples (replaces this one)
    </button>
  );
}
