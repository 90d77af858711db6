/** What `pith train` and `pith distill` say and refuse, on models small enough to know every answer. */
import { describe, expect, test } from "vitest";
import { json, pith } from "./run.ts";
import { at } from "./small-models.ts";

const data = ["--data", at("points.csv")];
const quick = ["--epochs", "2", "--batch", "16", "--learning-rate", "0.05", "-o", at("trained.onnx")];

describe("--samples", () => {
  test("says how many samples are trained on, and of these some are kept apart", async () => {
    const words = [at("zero.onnx"), ...data, ...quick, "--samples", "60"];
    const result = await json("train", ...words);
    expect(result).toMatchObject({ code: 0, training: { samples: 60 }, comparison: { candidate: { count: 60 } } });
    const apart = await json("train", ...words, "--validation", "10%");
    expect(apart).toMatchObject({ training: { samples: 54, chosen: { samples: 6 } } });
    const student = await json("distill", ...words, "--teacher", at("right.onnx"));
    expect(student).toMatchObject({ training: { samples: 60 } });
    expect((await pith("train", ...words)).out).toMatch(/^trained: on 60 samples$/m);
  });

  test("more than there are is all there are", async () => {
    const result = await json("train", at("zero.onnx"), ...data, ...quick, "--samples", "1000");
    expect(result).toMatchObject({ training: { samples: 320 } });
  });
});
