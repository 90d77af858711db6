import { expect, test } from "vitest";
import { random } from "../../../src/core/tensor/random.ts";
import { damaged, readAll } from "./damage.ts";
import { fromPlain } from "./oracle.ts";
import { randomModel } from "./random-model.ts";

test("opening rejects or reads 60,000 damaged models", async () => {
  const numbers = random(11, "damage");
  const outcomes = { opened: 0, refused: 0 };
  for (let seed = 0; seed < 300; seed++) {
    const bytes = fromPlain(randomModel(5000 + seed));
    for (let round = 0; round < 200; round++) outcomes[await readAll(damaged(bytes, numbers))]++;
  }
  expect(outcomes.refused).toBeGreaterThan(20_000);
  expect(outcomes.opened).toBeGreaterThan(4_000);
});

test("opening rejects or reads 40 models truncated at any byte or with any bit flipped", async () => {
  for (let seed = 0; seed < 40; seed++) {
    const bytes = fromPlain(randomModel(9000 + seed));
    if (bytes.byteLength > 4000) continue;
    for (let at = 0; at < bytes.byteLength; at++) {
      await readAll(bytes.slice(0, at));
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
      await readAll(flipped);
    }
  }
});
