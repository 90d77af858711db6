import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseModel } from "../../../src/core/graph/text.ts";
import { save } from "../../../src/core/onnx/index.ts";
import { json, pith } from "./run.ts";
import { classifier, numbers, smallModels } from "./small-models.ts";

const { at } = smallModels();

describe("inspect", () => {
  test("prints inputs, outputs, operators, layers, parameters and MACs", async () => {
    expect(await json("inspect", at("right.onnx"))).toMatchObject({
      code: 0,
      opsets: { "ai.onnx": 21 },
      inputs: [{ name: "features", type: "float32", dims: "[batch, 2]" }],
      outputs: [{ name: "logits" }],
      operators: { Gemm: 1 },
      parameters: 6,
      macs: { count: 4, per: "batch" },
      layers: [{ name: "fc", operator: "Gemm", weight: "float32 [2, 2]", parameters: 4 }],
      roles: { parameter: 2 },
      notUnderstood: [],
    });
    const { out } = await pith("inspect", at("right.onnx"));
    for (const part of ["right.onnx", "features", "float32 [batch, 2]", "1 layer; 6 parameters; 4 × batch MACs"]) {
      expect(out).toContain(part);
    }
  });

  test("shortens a long formula of MACs to its sizes, and prints ? if data-dependent", async () => {
    const path = at("formulas.onnx");
    await save(
      parseModel(`opset 17
graph (x: float32[n, 4, "length of the sound", 8], m: float32[n, 8]) -> (y, z) {
  w: float32[8, 4, 3, 3] = random(seed 1)
  v: float32[8, 8] = random(seed 2)
  y = Conv "conv" (x, w) {strides=[2, 2], dilations=[2, 2]}
  places = NonZero (m)
  taken = Cast (places) {to=1}
  shape: int64[2] = [-1, 8]
  some = Reshape (taken, shape)
  z = MatMul "mul" (some, v)
}`),
      path,
    );
    const { out } = await pith("inspect", path);
    expect(out).toMatch(/^conv .* depends on .*length/m);
    expect(out).toMatch(/^mul .* 64 +\? /m);
  });

  test("estimates the savings of techniques, with the reason for layers that cannot change", async () => {
    expect(await json("inspect", at("hidden.onnx"))).toMatchObject({
      layers: [
        { name: "fc1", cuttable: 4, payingRank: 1 },
        { name: "fc2", cuttable: 0, kept: { reason: "they are an output of the model", at: "logits" }, payingRank: 1 },
      ],
      savings: {
        // 16 weights of a byte each, and 5 bytes per channel.
        int8: { layers: 2, before: 64, after: 16 + 5 * 6 },
        // 30 % of the rows of fc1 (weight and bias) and of the columns of fc2.
        channels: { layers: 1, cuttable: 4, channels: 6, before: 80, after: 56 },
        lowRank: { layers: 2 },
      },
    });
    const { out } = await pith("inspect", at("hidden.onnx"));
    expect(out).toMatch(/prune --structured 30% +80 bytes +56 bytes +1\.43 × +1 of 2 layers \(4 of 6 channels/);
    expect(out).toContain("channels of fc2 that cannot be removed: they are an output of the model (logits)");
  });

  test("--weights prints zeros, range, and the ranks for shares of the energy", async () => {
    expect(await numbers(at("hidden.onnx"), "--weights")).toEqual([
      { name: "fc1", zeros: 0.5, least: 0, greatest: 1, ranks: { of: 2, holding: [2, 2, 2] } },
      { name: "fc2", zeros: 0.5, least: 0, greatest: 1, ranks: { of: 2, holding: [2, 2, 2] } },
    ]);
    expect((await pith("inspect", at("hidden.onnx"))).out).toContain(
      "at most 2 of 2 layers become two smaller layers (--weights",
    );
    expect((await pith("inspect", at("right.onnx"), "--weights")).out).toMatch(
      /fc +0\.0 % +0\.00100 +1\.00 +2 +2 +2 +2\n/,
    );
    expect((await json("inspect", at("right.onnx"))).weights).toBeUndefined();
    await save(parseModel(classifier("[[-1, nan], [0, 1]]")), at("nan.onnx"));
    expect((await pith("inspect", at("nan.onnx"), "--weights")).out).toMatch(/fc +25\.0 % +NaN +NaN +– +– +– +–\n/);
  });

  test("reports a file that is not a model, and a missing file", async () => {
    expect(await pith("inspect", at("points.csv"))).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("E_NOT_ONNX: "),
    });
    expect(await pith("inspect", at("none.onnx"))).toMatchObject({
      code: 1,
      out: "",
      err: expect.stringContaining("E_FILE: "),
    });
  });
});

describe("plot", () => {
  test("draws every node, input, output and layer name in a picture next to the model", async () => {
    expect(await json("plot", at("right.onnx"))).toMatchObject({ code: 0, written: at("right.svg"), replaced: false });
    const markup = readFileSync(at("right.svg"), "utf8");
    expect(markup.match(/class="box /g)).toHaveLength(3);
    for (const text of ["features", "fc", "Gemm [2, 2], 4", "logits", "[batch, 2]"])
      expect(markup).toContain(`>${text}</text>`);
  });

  test("shows the bytes of a layer in both models, and rejects an original without a common layer", async () => {
    await save(
      parseModel(classifier("ones").replaceAll("fc", "other").replaceAll("logits", "scores")),
      at("other.onnx"),
    );
    expect(await json("plot", at("right.onnx"), "--original", at("near.onnx"), "-o", at("both.svg"))).toMatchObject({
      code: 0,
    });
    expect(readFileSync(at("both.svg"), "utf8")).toContain(">Gemm 16 bytes, [2, 2]</text>");
    const { code, err } = await pith("plot", at("right.onnx"), "--original", at("other.onnx"), "-o", at("none.svg"));
    expect({ code, err }).toMatchObject({
      code: 2,
      err: expect.stringContaining("Give the model from which this one was made."),
    });
  });

  test("escapes names of a model", async () => {
    await save(parseModel(classifier("ones").replaceAll("features", '"<script>alert(1)</script>"')), at("evil.onnx"));
    await pith("plot", at("evil.onnx"), "-o", at("evil.svg"));
    expect(readFileSync(at("evil.svg"), "utf8")).not.toContain("<script>alert");
  });
});
