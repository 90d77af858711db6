import { expect, test } from "vitest";
import { announced } from "./jobs/announced.ts";

/** What is said while samples are run, one after the other, each taking so many seconds. */
function said(samples: number, seconds: number, passes: number): string[] {
  const texts: string[] = [];
  let now = 0;
  const context = announced(
    { log: ({ text }) => texts.push(text), progress: (_done: number, _total?: number) => {} },
    samples,
    passes,
    () => now,
  );
  for (let done = 64; done <= samples; done += 64) {
    now = done * seconds;
    context.progress(done, samples);
  }
  return texts;
}

test("what takes long is told once, from the speed of the first samples, with what makes it shorter", () => {
  expect(said(3392, 0.025, 2)).toEqual([
    "judging by all 3,392 samples takes about 3 minutes. Fewer take less: --samples",
  ]);
});

test("what is over at once is not told", () => {
  expect(said(3392, 0.001, 2)).toEqual([]);
});
