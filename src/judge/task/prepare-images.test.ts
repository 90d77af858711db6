import { expect, test } from "vitest";
import { atChanceWarning } from "./prepare-images.ts";

test("asks to check inputs at chance level, and mentions untrained networks before training", () => {
  const asked =
    'With preprocessing "unit" the model scores no better than always predicting the most frequent class (10.0 % against 12.0 % on 500 samples tried). ' +
    "Check the preprocessing, the labels and the model.";
  expect(atChanceWarning("unit", 0.1, 0.12, 500)).toBe(asked);
  expect(atChanceWarning(undefined, 0.4, 0.25, 20)).toBe(
    "The model scores not clearly better than always predicting the most frequent class (40.0 % against 25.0 % on 20 samples tried). Check the labels and the model.",
  );
  expect(atChanceWarning("unit", 0.1, 0.12, 500, true)).toBe(`${asked} An untrained network scores like this, too.`);
});
