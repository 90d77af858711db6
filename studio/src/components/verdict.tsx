import type { JSX } from "preact";
import type { Candidate } from "../backend/backend.ts";
import { unbroken, withoutFlags } from "../format.ts";
import { TestOnAll } from "./test-on-all.tsx";

/** The verdict of a candidate: one word, and the sentences that explain it. */
export function Verdict({ candidate }: { candidate: Candidate }): JSX.Element {
  const { word, mood, sentences } = candidate.summary;
  return (
    <>
      <p class="lead">
        <span class={`badge ${mood}`}>{word}</span> {unbroken(withoutFlags(sentences.join(" ")))}
      </p>
      <TestOnAll candidate={candidate} />
    </>
  );
}
