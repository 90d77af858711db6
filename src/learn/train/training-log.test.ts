import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { recordsUntil, scalarRecord, versionRecord } from "./training-log.ts";

interface Golden {
  readonly file: string;
  readonly start: number;
  readonly events: readonly {
    readonly wallTime: number;
    readonly step: number;
    readonly scalars: readonly (readonly [string, number])[];
  }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../../test/golden/events.generated.json", import.meta.url), "utf8"),
);
const expected = new Uint8Array(Buffer.from(golden.file, "base64"));
const records = [
  versionRecord(golden.start),
  ...golden.events.map((event) => scalarRecord({ ...event, scalars: Object.fromEntries(event.scalars) })),
];

test("writes the bytes that Python's tensorboard writes", () => {
  expect(Buffer.concat(records)).toEqual(Buffer.from(expected));
});

test("keeps records up to a given step, and drops a record that was cut off", () => {
  const lengths = records.map((_, index) => records.slice(0, index + 1).reduce((sum, { length }) => sum + length, 0));
  const kept = [0, 1, 299, 300, Number.POSITIVE_INFINITY].map((step) => recordsUntil(expected, step)?.length);
  expect(kept).toEqual([1, 2, 2, 3, 4].map((index) => lengths[index]));
  expect(recordsUntil(expected.subarray(0, expected.length - 1), Number.POSITIVE_INFINITY)?.length).toBe(lengths[3]);
});

test("returns undefined for bytes that are not an event file", () => {
  expect(recordsUntil(new TextEncoder().encode("step,epoch,loss,learning_rate\n1,1,0.5,0.001\n"), 9)).toBeUndefined();
  expect(recordsUntil(new Uint8Array(), 9)).toBeUndefined();
});
