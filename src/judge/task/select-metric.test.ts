import { describe, expect, test } from "vitest";
import { assumedScores, outputKind } from "../../core/analysis/output-kind.ts";
import { parseModel } from "../../core/graph/text.ts";
import type { MetricName } from "./named-metrics.ts";
import { comparisonMetrics, readingOf, selectMetric } from "./select-metric.ts";

const kindOf = (dims: string, body = "y = Cast(x) {to=1}", type = "int32") =>
  outputKind(parseModel(`opset 21\ngraph (x: ${type}[${dims}]) -> (y) {\n  ${body}\n}`), undefined);

describe("outputKind", () => {
  test.each([
    ["batch, 3, 32, 32", "image"],
    ["batch, 1, height, width", "image"],
    ["batch, 64, 64, 3", "image"],
    ["batch, 21, 32, 32", "classes"],
    ["batch, 32, 32, 21", "classes"],
    ["batch, 3, 1, 1", "classes"],
    ["batch, 1, 1, 10", "classes"],
    ["batch, 3", "classes"],
    ["batch, 7, 3", "classes"],
    ["batch, 1, time", "number"],
    ["batch, time", "number"],
    ["batch, 21, height, width", "classes"],
    ["batch, height, width, planes", "number"],
    ["batch, 1", "number"],
    ["batch, time, 1", "number"],
    ["batch, 6, 1", "number"],
    ["batch, 1, 1, 1", "number"],
    ["batch, batch", "number"],
  ])("of [%s] is %s", (dims, kind) => {
    expect(kindOf(dims)).toBe(kind);
  });

  test("returns number for one score per step of a sequence, for any name", () => {
    const text =
      "opset 21\ngraph (x: float32[batch, time, 1]) -> (score: float32[batch, time, 1]) {\n  score = Sigmoid(x)\n}";
    expect(outputKind(parseModel(text), undefined)).toBe("number");
  });

  test("returns classes for three planes that sum to one", () => {
    expect(kindOf("batch, 3, 32, 32", "y = Softmax(x) {axis=1}", "float32")).toBe("classes");
  });

  test("returns number for outputs with the dimensions of a float input, except probabilities", () => {
    for (const dims of ["batch, 1, 257", "1, 1, 16000", "batch, 640", "batch, 128, 12"]) {
      expect(kindOf(dims, "y = Sigmoid(x)", "float32"), dims).toBe("number");
      expect(kindOf(dims, "y = Softmax(x)", "float32"), dims).toBe("classes");
    }
  });

  test("returns number for boxes with scores, and classes for parts of one vector", () => {
    const raw = "a = Sigmoid(x)\n  b = Softmax(x) {axis=1}\n  ";
    const planes = "batch, 4, 22, 22";
    expect(kindOf(planes, `${raw}y = Concat(a, x, b) {axis=1}`, "float32")).toBe("number");
    expect(kindOf(planes, `${raw}j = Concat(a, b) {axis=1}\n  y = Transpose(j) {perm=[0, 2, 3, 1]}`, "float32")).toBe(
      "number",
    );
    expect(kindOf("batch, 4", `${raw}y = Concat(a, b) {axis=1}`, "float32")).toBe("classes");
    // A value computed from the parts is a single output again.
    const mixed = "w: float32[8, 8, 1, 1] = zeros\n  j = Concat(a, b) {axis=1}\n  y = Conv(j, w)";
    expect(kindOf(planes, `${raw}${mixed}`, "float32")).toBe("classes");
  });

  test("recognizes scores by their name if there are as many classes as features", () => {
    const model = (name: string) =>
      parseModel(`opset 21\ngraph (x: float32[batch, 2]) -> (${name}: float32[batch, 2]) {\n  ${name} = Sigmoid(x)\n}`);
    expect(outputKind(model("logits"), undefined)).toBe("labels");
    expect(outputKind(model("class_probabilities"), undefined)).toBe("labels");
    expect(outputKind(model("reconstruction"), undefined)).toBe("number");
  });

  test.each([
    ["y = Tanh(x)", "number"],
    ["t = Tanh(x)\n  y = Mul(t, c)", "number"],
    ["t = Softsign(x)\n  s = Mul(t, c)\n  a = Add(s, c)\n  y = Identity(a)", "number"],
    ["y = Sigmoid(x)", "labels"],
    ["t = Tanh(x)\n  y = MatMul(t, w)", "classes"],
    ["t = Tanh(x)\n  y = Mul(t, x)", "classes"],
  ])("returns number for outputs between bounds of both signs: %s", (body, kind) => {
    const model = parseModel(`opset 21
graph (i: int32[n, 12]) -> (y: float32[n, 12]) {
  c: float32[] = 2
  w: float32[12, 12] = random(seed 1)
  x = Cast(i) {to=1}
  ${body}
}`);
    expect(outputKind(model, undefined)).toBe(kind);
  });

  test("recognizes numbers of a regression by their name, and assumes scores otherwise", () => {
    const model = (name: string, last = "Cast(x) {to=1}", type = "int32") =>
      parseModel(`opset 21\ngraph (x: ${type}[n, 58]) -> (${name}: float32[n, 58]) {\n  ${name} = ${last}\n}`);
    for (const name of [
      "variable",
      "actions",
      "continuous_actions",
      "action",
      "landmarks",
      "face_keypoints",
      "action_mean",
    ])
      expect([name, outputKind(model(name), undefined)]).toEqual([name, "number"]);
    for (const name of ["output", "y", "Identity", "dense_3", "action_logits", "meaning", "interactions"])
      expect([name, outputKind(model(name), undefined)]).toEqual([name, "classes"]);
    expect(assumedScores(model("output"), undefined)?.name).toBe("output");
    expect(assumedScores(model("action_logits"), undefined)).toBeUndefined();
    expect(assumedScores(model("actions"), undefined)).toBeUndefined();
    expect(assumedScores(model("output", "Softmax(x)", "float32"), undefined)).toBeUndefined();
  });

  test.each([
    ["y = ArgMax(x) {axis=1, keepdims=0}", "class"],
    ["y = ArgMax(x) {axis=1, keepdims=1}", "class"],
    ["y = Cast(x) {to=8}", "class"],
    ["y = Cast(x) {to=2}", "classes"],
  ])("of %s is %s", (body, kind) => {
    expect(kindOf("batch, 7", body)).toBe(kind);
  });

  test("compares floats next to an output of classes, and classes if alone", () => {
    const model = (outputs: string) =>
      parseModel(`opset 21
graph (x: float32[n, 4]) -> (${outputs}) {
  label = ArgMax(x) {axis=1, keepdims=0}
  probabilities = Softmax(x)
}`);
    const names = (outputs: string) => comparisonMetrics(model(outputs), undefined).map(({ name }) => name);
    expect(names("label: int64[n], probabilities: float32[n, 4]")).toEqual([
      "agreement",
      "KL divergence",
      "signal to noise",
    ]);
    expect(names("label: int64[n]")).toEqual(["agreement"]);
  });

  test("treats ambiguous outputs as numbers if a metric of numbers is requested", () => {
    const model = (name: string) =>
      parseModel(`opset 21
graph (x: float32[n, 4]) -> (${name}: float32[n, 3]) {
  w: float32[4, 3] = random(seed 1)
  ${name} = MatMul(x, w)
}`);
    const names = (name: string, metric: MetricName) =>
      comparisonMetrics(model(name), undefined, { metric }).map(({ name }) => name);
    const classes = ["agreement", "KL divergence", "signal to noise"];
    expect(names("y", "accuracy")).toEqual(classes);
    expect(names("y", "mean-squared-error")).toEqual(["R²", "signal to noise"]);
    expect(names("y", "r-squared")).toEqual(["R²", "signal to noise"]);
    // The name states that it contains class scores.
    expect(names("logits", "mean-squared-error")).toEqual(classes);
  });

  test("compares images with the original's by their values and not by classes", () => {
    const model = parseModel("opset 21\ngraph (x: float32[n, 3, 8, 8]) -> (y) {\n  y = Relu(x)\n}");
    expect(comparisonMetrics(model, undefined).map(({ name }) => name)).toEqual(["R²", "signal to noise"]);
    expect(selectMetric(model, "accuracy", undefined, { labelled: false }).name).toBe("R²");
    expect(selectMetric(model, "agreement", undefined, { labelled: false }).name).toBe("agreement");
  });

  test("reads a single sigmoid output as a probability", () => {
    const ends = (last: string) =>
      readingOf(
        parseModel(
          `opset 21\ngraph (x: float32[n, 4]) -> (y: float32[n, 1]) {\n  w: float32[4, 1] = random(seed 1)\n${last}\n}`,
        ),
        undefined,
      );
    expect(ends("  h = MatMul(x, w)\n  y = Sigmoid(h)")).toEqual({ from: "probabilities", width: 1 });
    expect(ends("  h = MatMul(x, w)\n  y = Tanh(h)")).toEqual({ width: 1 });
    expect(ends("  y = MatMul(x, w)")).toEqual({ width: 1 });
  });
});

describe("agreement for one number per step", () => {
  const modelOf = (dims: string, name = "y") =>
    parseModel(`opset 21\ngraph (x: int32[${dims}]) -> (${name}) {\n  ${name} = Cast(x) {to=1}\n}`);
  const chosen = (model: ReturnType<typeof modelOf>) =>
    selectMetric(model, "agreement", undefined, { labelled: false });

  test.each(["batch, 6, 1", "batch, time, 1"])("fails for [%s], because the steps are not classes", (dims) => {
    expect(() => chosen(modelOf(dims))).toThrow(
      `"y" is [${dims}], one number per step: there are no classes to agree on.`,
    );
  });

  test("is measured if the output is named as scores, or has classes for each step", () => {
    expect(chosen(modelOf("batch, 6, 1", "scores")).name).toBe("agreement");
    expect(chosen(modelOf("batch, 6, 3")).name).toBe("agreement");
    expect(chosen(modelOf("batch, 1, 3")).name).toBe("agreement");
  });
});

describe("independent labels and detections", () => {
  const labels = parseModel(
    "opset 18\ngraph (x: float32[n, 4]) -> (y: float32[n, 6]) {\n  w: float32[4, 6] = zeros\n  s = MatMul(x, w)\n  y = Sigmoid(s)\n}",
  );
  const detector = parseModel(
    "opset 18\ngraph (b: float32[n, 4, 64], c: float32[n, 5, 64]) -> (y: float32[n, 9, 64]) {\n  s = Sigmoid(c)\n  y = Concat(b, s) {axis=1}\n}",
  );
  const nameOf = (model: typeof labels, metric: MetricName, labelled: boolean): string =>
    selectMetric(model, metric, undefined, { labelled }).name;

  test("have the default metrics of their kind, with and without labels", () => {
    expect(nameOf(labels, "accuracy", false)).toBe("agreement");
    expect(selectMetric(labels, "accuracy", undefined, { labelled: false }).hasClasses).toBe(false);
    expect(nameOf(labels, "accuracy", true)).toBe("mean F1");
    expect(nameOf(labels, "map", true)).toBe("mAP");
    expect(nameOf(detector, "accuracy", false)).toBe("agreement");
    expect(selectMetric(detector, "agreement", undefined, { labelled: false }).columns).toBe(2);
    expect(nameOf(detector, "accuracy", true)).toBe("mAP");
    expect(nameOf(detector, "map-50", true)).toBe("mAP at IoU 0.5");
    expect(nameOf(detector, "r-squared", false)).toBe("R²");
  });

  test("are compared by the metrics of their kind first", () => {
    expect(comparisonMetrics(labels, undefined).map(({ name }) => name)).toEqual(["agreement", "signal to noise"]);
    expect(comparisonMetrics(detector, undefined).map(({ name }) => name)).toEqual([
      "agreement",
      "R²",
      "signal to noise",
    ]);
  });
});
