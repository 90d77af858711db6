import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { integerText, unbroken, withoutFlags } from "../format.ts";
import { testOnAll } from "../state/making.ts";
import { job, missingFiles, samples } from "../state/signals.ts";

/** The verdict of a candidate: one word, and the sentences that explain it. */
export function Verdict({ candidate }: { candidate: Candidate }): JSX.Element {
  const { word, mood, sentences } = candidate.summary;
  const { available = 0 } = samples.value ?? {};
  const { count = 0 } = candidate.run?.data.test ?? {};
  const canTestMore = mood === "doubt" && candidate.settings !== undefined && count > 0 && available > count;
  return (
    <>
      <p class="lead">
        <span class={`badge ${mood}`}>{word}</span> {unbroken(withoutFlags(sentences.join(" ")))}
      </p>
      {canTestMore ? (
        <p>
          <button
            type="button"
            disabled={job.value !== undefined || missingFiles.value !== undefined}
            onClick={() => testOnAll(candidate)}
          >
            Test it on all {integerText(available)} samples
          </button>
        </p>
      ) : null}
    </>
  );
}
