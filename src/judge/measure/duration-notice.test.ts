import { expect, test } from "vitest";
import { announceDuration } from "./duration-notice.ts";

interface Run {
  readonly samples: number;
  /** Seconds a sample; the first batch takes ten times as long. */
  readonly seconds: number;
}

/** Returns the notices during two runs over the samples, with an hour of other work between them. */
function noticesOf({ samples, seconds }: Run, passes: number, all = samples): string[] {
  const texts: string[] = [];
  let now = 0;
  const context = announceDuration(
    { log: ({ text }) => texts.push(text), progress: (_done: number, _total?: number) => {} },
    all,
    passes,
    () => now,
  );
  for (let run = 0; run < 2; run++, now += 3600) {
    for (let from = 0; from < samples; from += 64) {
      const done = Math.min(samples, from + 64);
      now += (from === 0 ? 10 : 1) * (done - from) * seconds;
      context.progress(done, samples);
    }
  }
  return texts;
}

test("logs the time of a long evaluation once, from warm batches, with advice", () => {
  expect(noticesOf({ samples: 3392, seconds: 0.025 }, 2)).toEqual([
    "evaluation on all 3,392 samples takes about 3 minutes. To shorten it, set `samples`",
  ]);
});

test("estimates the time of all samples if some are run", () => {
  expect(noticesOf({ samples: 512, seconds: 0.01 }, 2, 10_000)).toEqual([
    "evaluation on all 10,000 samples takes about 3 minutes. To shorten it, set `samples`",
  ]);
});

test("logs nothing for a short evaluation", () => {
  expect(noticesOf({ samples: 3392, seconds: 0.001 }, 2)).toEqual([]);
});

test("ignores the time between two runs", () => {
  expect(noticesOf({ samples: 65, seconds: 0.02 }, 2)).toEqual([]);
  expect(noticesOf({ samples: 300, seconds: 0.0001 }, 2)).toEqual([]);
});
