import { describe, expect, expectTypeOf, it } from "vitest";
import { PithError } from "../errors.ts";
import { float32, int64 } from "../tensor/dense.ts";
import { type AttributesOf, type Emit, emitInto, emitter, passKey } from "./emit.ts";
import { Graph, type Node, subgraphs, type Value } from "./graph.ts";
import type { Attribute } from "./graph-elements.ts";
import { Model } from "./model.ts";
import { mask } from "./role.ts";
import { schema } from "./schema.generated.ts";
import { latestOpset, schemaAt, schemasOf } from "./schema.ts";

function start(opset = 21): { model: Model; x: Value; y: Value; emit: Emit } {
  const model = new Model(new Graph(), { opsets: new Map([["", opset]]) });
  const x = model.graph.addInput("x", { type: "float32", dims: [2, 3] });
  const y = model.graph.addInput("y", { type: "float32", dims: [2, 3] });
  return { model, x, y, emit: emitInto(model) };
}

function refused(write: () => unknown): string {
  try {
    write();
  } catch (error) {
    if (error instanceof PithError) return `${error.code}: ${error.message}`;
    throw error;
  }
  throw new Error("nothing was refused");
}

function producerOf(value: Value): Node {
  if (value.producer === undefined) throw new Error(`${value.name} has no producer`);
  return value.producer;
}

const attributesOf = (value: Value): Record<string, Attribute> => Object.fromEntries(producerOf(value).attributes);

describe("schemaAt", () => {
  it("finds the definition that a version between two definitions uses", () => {
    expect(schemaAt("", "ReduceSum", 12)).toMatchObject({ since: 11, inputs: { min: 1, max: 1 } });
    expect(schemaAt("", "ReduceSum", 13)).toMatchObject({ since: 13, inputs: { min: 1, max: 2 } });
    expect(schemaAt("ai.onnx", "ReduceSum", 10)?.attributes).toEqual(
      new Map([
        ["axes", "ints"],
        ["keepdims", "int"],
      ]),
    );
  });

  it("keeps a definition if only element types changed", () => {
    expect(schemaAt("", "Conv", 22)).toEqual({ ...schemaAt("", "Conv", 1), since: 22 });
  });

  it("finds nothing for unknown operators, object methods, and versions before the first", () => {
    expect(schemaAt("", "Convolution", 21)).toBeUndefined();
    expect(schemaAt("", "toString", 21)).toBeUndefined();
    expect(schemaAt("example.org", "Conv", 21)).toBeUndefined();
    expect(schemaAt("", "Gelu", 19)).toBeUndefined();
  });

  it("allows any number of variadic operands", () => {
    expect(schemaAt("", "Concat", 13)?.inputs).toMatchObject({ min: 1, max: Number.POSITIVE_INFINITY });
    expect(schemaAt("", "Split", 18)?.outputs).toEqual({ min: 1, max: Number.POSITIVE_INFINITY });
  });

  it("marks deprecated operators, including reintroduced ones", () => {
    expect(schemaAt("", "Upsample", 10)?.deprecated).toBe(true);
    expect(schemaAt("", "Upsample", 9)?.deprecated).toBe(false);
    expect(schemaAt("", "GroupNormalization", 18)?.deprecated).toBe(true);
    expect(schemaAt("", "GroupNormalization", 21)?.deprecated).toBe(false);
  });

  it("reports required attributes and optional leading inputs", () => {
    expect(schemaAt("com.microsoft", "GroupQueryAttention", 1)?.required).toEqual(
      new Set(["kv_num_heads", "num_heads"]),
    );
    expect(schemaAt("com.microsoft", "GroupQueryAttention", 1)?.inputs).toEqual({
      min: 7,
      max: 16,
      absent: new Set([1, 2, 3, 4]),
    });
  });

  it("parses every operator: ascending versions, consistent operand counts, known required attributes", () => {
    for (const key of Object.keys(schema)) {
      const dot = key.lastIndexOf(".");
      const versions = schemasOf(key.slice(0, Math.max(dot, 0)), key.slice(dot + 1));
      expect(versions.length, key).toBeGreaterThan(0);
      versions.forEach((version, index) => {
        expect(version.since, key).toBeGreaterThan(versions[index - 1]?.since ?? 0);
        expect(version.since, key).toBeLessThanOrEqual(latestOpset[dot < 0 ? "" : "com.microsoft"]);
        expect(version.inputs.min, key).toBeLessThanOrEqual(version.inputs.max);
        expect(version.outputs.min, key).toBeLessThanOrEqual(version.outputs.max);
        expect(version.deprecated || version.outputs.max > 0, key).toBe(true);
        for (const name of version.required) expect(version.attributes.has(name), key).toBe(true);
      });
    }
    expect(Object.keys(schema).length).toBeGreaterThan(200);
  });
});

describe("types of an emitter", () => {
  it("takes attribute types and required attributes from the schema", () => {
    expectTypeOf<AttributesOf<"Conv">["strides"]>().toEqualTypeOf<readonly number[] | undefined>();
    expectTypeOf<AttributesOf<"Concat">>().toEqualTypeOf<{ axis: number }>();
    expectTypeOf<Parameters<Emit["Relu"]>[1]>().toEqualTypeOf<Record<string, never> | undefined>();
    const { x, y, emit } = start();
    // @ts-expect-error: the attribute is called strides.
    expect(refused(() => emit.Conv([x, y], { stride: [2, 2] }))).toBe(
      "E_UNSUPPORTED: Conv has no attribute stride, but auto_pad, dilations, group, kernel_shape, pads, strides.",
    );
    // @ts-expect-error: operators without attributes take none.
    expect(refused(() => emit.Add([x, y], { axis: 1 }))).toBe(
      "E_UNSUPPORTED: Add in opset 21 has no attribute axis: it was removed in opset 7.",
    );
    // @ts-expect-error: Concat requires an axis.
    expect(refused(() => emit.Concat([x, y]))).toBe("E_UNSUPPORTED: Concat in opset 21 needs the attribute axis.");
    // @ts-expect-error: Concat requires an axis in the long form too.
    expect(refused(() => emit.many("Concat", [x, y], undefined, 1))).toMatch(/needs the attribute axis/);
    // @ts-expect-error: axis is a number, not a list.
    expect(refused(() => emit.Softmax([x], { axis: [1] }))).toBe(
      "E_TYPE_MISMATCH: Softmax: attribute axis: expected int, got [1].",
    );
  });

  it("returns as many outputs as a count or a list of positions selects", () => {
    const { x, emit } = start();
    const halves = emit.many("Split", [x], { num_outputs: 2 }, 2);
    expectTypeOf(halves).toEqualTypeOf<readonly [Value, Value]>();
    const counted = emit.many("Split", [x], { num_outputs: 3 }, [1, 2, 3].length);
    expectTypeOf(counted).toEqualTypeOf<readonly Value[]>();
    const k = emit.constant(int64([1], [1]));
    const chosen = emit.many("TopK", [x, k], {}, [true, true]);
    expectTypeOf(chosen).toEqualTypeOf<readonly [Value, Value]>();
    expect([halves.length, counted.length, chosen.length]).toEqual([2, 3, 2]);
  });
});

describe("an emitter", () => {
  it("writes attributes with the type of the schema", () => {
    const { x, y, emit } = start();
    expect(attributesOf(emit.Gemm([x, y], { alpha: 1, transB: 1 }))).toEqual({
      alpha: { kind: "float", value: 1 },
      transB: { kind: "int", value: 1 },
    });
    expect(attributesOf(emit.Conv([x, y], { auto_pad: "VALID", strides: [2, 2] }))).toEqual({
      auto_pad: { kind: "string", value: "VALID" },
      strides: { kind: "ints", value: [2, 2] },
    });
    expect(attributesOf(emit.Constant([], { value_floats: [1, 2] }))).toEqual({
      value_floats: { kind: "floats", value: [1, 2] },
    });
    expect(attributesOf(emit.Constant([], { value_strings: ["a"] }))).toEqual({
      value_strings: { kind: "strings", value: ["a"] },
    });
    const { value } = attributesOf(emit.ConstantOfShape([x], { value: float32([1], [0.5]) }));
    expect(value?.kind === "tensor" ? value.value.small : undefined).toEqual(float32([1], [0.5]));
  });

  it("copies lists from the caller", () => {
    const { x, emit } = start();
    const perm = [1, 0];
    const out = emit.Transpose([x], { perm });
    perm[0] = 7;
    expect(attributesOf(out)).toEqual({ perm: { kind: "ints", value: [1, 0] } });
  });

  it("converts a number to the type of other inputs, and a list to int64", () => {
    const { x, y, emit } = start();
    expect(producerOf(emit.Mul([x, 0.5])).inputs[1]?.tensor?.small).toEqual(float32([], [0.5]));
    const flags = emit.Cast([y], { to: 9 });
    flags.type = { type: "bool", dims: [2, 3] };
    expect(producerOf(emit.Where([flags, 1, x])).inputs[1]?.tensor?.small).toEqual(float32([], [1]));
    expect(producerOf(emit.Reshape([x, [3, -1]])).inputs[1]?.tensor?.small).toEqual(int64([2], [3, -1]));
    expect(refused(() => emit.Neg([1]))).toMatch(/E_TYPE_MISMATCH: Neg: the type of the number 1 is not known/);
    expect(refused(() => emit.Where([flags, 0, 1]))).toMatch(/the type of the number 0 is not known/);
  });

  it("accepts absent inputs and drops trailing ones", () => {
    const { x, y, emit } = start();
    expect(producerOf(emit.Clip([x, undefined, y])).inputs).toEqual([x, undefined, y]);
    expect(producerOf(emit.Clip([x, undefined, undefined])).inputs).toEqual([x]);
    // Loop counts its two optional inputs.
    const body = (): Value[] => [x];
    expect(producerOf(emit.Loop([undefined, undefined], { body })).inputs).toEqual([undefined, undefined]);
  });

  it("inserts nodes before a given node, in call order", () => {
    const { model, x, emit } = start();
    const last = producerOf(emit.Relu([x]));
    const early = emitInto(model, { before: last });
    early.Sigmoid([early.Tanh([x])]);
    emit.Exp([x]);
    expect([...model.graph.nodes()].map((node) => node.op)).toEqual(["Tanh", "Sigmoid", "Relu", "Exp"]);
  });

  it("records the pass, and calls back with the complete node", () => {
    const { model, x } = start();
    const seen: string[] = [];
    const onNode = (node: Node): void => {
      seen.push(
        `${node.op} ${[...node.attributes.keys()].join()} ${node.outputs.length} ${node.metadata.get(passKey)}`,
      );
    };
    emitInto(model, { by: "fold", onNode }).Softmax([x], { axis: 1 });
    expect(seen).toEqual(["Softmax axis 1 fold"]);
    expect(producerOf(emitInto(model).Relu([x])).metadata.size).toBe(0);
  });

  it("creates all mandatory outputs of an operator", () => {
    const { x, emit } = start();
    const top = emit.TopK([x, emit.constant(int64([1], [1]))]);
    expect(producerOf(top).outputs.length).toBe(2);
    expect(producerOf(top).outputs[0]).toBe(top);
  });

  it("omits unselected optional outputs", () => {
    const { x, y, emit } = start();
    const [hidden] = emit.many("LSTM", [x, y, y], { hidden_size: 4 }, [false, true]);
    expect(producerOf(hidden).outputs).toEqual([undefined, hidden]);
    expect(hidden.name).toBe("LSTM");
  });
});

describe("names of emitted values", () => {
  it("uses the operator's name, with a number on conflict", () => {
    const { x, emit } = start();
    expect([emit.Relu([x]), emit.Relu([x]), emit.Relu([x])].map((value) => value.name)).toEqual([
      "Relu",
      "Relu_1",
      "Relu_2",
    ]);
    expect(emit.many("Split", [x], { num_outputs: 3 }, 3).map((value) => value.name)).toEqual([
      "Split",
      "Split_1",
      "Split_2",
    ]);
    expect(emit["com.microsoft.FastGelu"]([x]).name).toBe("FastGelu");
  });

  it("gives distinct names to the outputs of a node added without an emitter", () => {
    const { model, x } = start();
    const node = model.graph.addNode({ op: "Split", inputs: [x], outputs: 2 });
    expect(node.outputs.map((output) => output?.name)).toEqual(["Split", "Split_1"]);
  });

  it("applies a name to the next node only, not to nodes of its inputs", () => {
    const { x, emit } = start();
    const named = emit.named("scaled");
    const out = named.Relu([emit.Exp([x])]);
    expect(out.name).toBe("scaled");
    expect(out.producer?.inputs[0]?.name).toBe("Exp");
    expect(named.Relu([x]).name).toBe("Relu");
    expect(emit.named("scaled").Neg([x]).name).toBe("scaled_1");
  });

  it("keeps a name available after a rejected node", () => {
    const { x, emit } = start();
    const named = emit.named("scaled");
    expect(refused(() => named.Add([x]))).toMatch(/expected 2 inputs, got 1/);
    expect(named.Relu([x]).name).toBe("scaled");
  });

  it("numbers further outputs and avoids existing names", () => {
    const { model, x, emit } = start();
    model.graph.addInput("part_1", undefined);
    const parts = emit.named("part").many("Split", [x], { num_outputs: 3 }, 3);
    expect(parts.map((value) => value.name)).toEqual(["part", "part_1_1", "part_2"]);
  });

  it("applies a name to a constant", () => {
    const { emit } = start();
    expect(emit.named("scale").constant(float32([], [2])).name).toBe("scale");
    expect(emit.constant(float32([], [2]), "scale").name).toBe("scale_1");
    expect(emit.constant(float32([], [2])).name).toBe("constant");
  });
});

describe("emitted constants", () => {
  it("stores constants as tensors with type and role, not as nodes", () => {
    const { model, emit } = start();
    const ones = emit.constant(float32([2], [1, 1]), "fc1.weight_mask", mask);
    expect(ones.role).toEqual(mask);
    expect(ones.type).toEqual({ type: "float32", dims: [2] });
    expect(ones.tensor?.small).toEqual(float32([2], [1, 1]));
    expect(model.graph.nodeCount).toBe(0);
    expect(emit.constant(float32([], [1])).role).toBeUndefined();
  });
});

describe("an emitter and the imported opset", () => {
  it("explains which operands are attributes and which are inputs", () => {
    const old = start(11);
    expect(refused(() => old.emit.ReduceSum([old.x, old.y]))).toBe(
      "E_UNSUPPORTED: ReduceSum in opset 11 takes axes as an attribute, not as an input: expected 1 input, got 2.",
    );
    expect(refused(() => start(10).emit.Clip([old.x, old.y, old.y]))).toMatch(
      /Clip in opset 10 takes max, min as attributes, not as inputs: expected 1 input, got 3/,
    );
    const recent = start(13);
    expect(refused(() => recent.emit.ReduceSum([recent.x], { axes: [1] }))).toBe(
      "E_UNSUPPORTED: ReduceSum in opset 13 takes axes as an input: it is not an attribute since opset 13.",
    );
    expect(old.emit.ReduceSum([old.x], { axes: [1] }).producer?.inputs.length).toBe(1);
    expect(recent.emit.ReduceSum([recent.x, recent.y]).producer?.inputs.length).toBe(2);
  });

  it("rejects operators and attributes that are too new, removed or unknown", () => {
    const { x, y, emit } = start(17);
    expect(refused(() => emit.Gelu([x]))).toBe("E_UNSUPPORTED: Gelu exists from opset 20 on, the model imports 17.");
    expect(refused(() => emit.Upsample([x, y]))).toBe(
      "E_UNSUPPORTED: Upsample was removed in opset 10, the model imports 17.",
    );
    expect(refused(() => emit.ReduceMean([x], { noop_with_empty_axes: 1 }))).toBe(
      "E_UNSUPPORTED: ReduceMean in opset 17 has no attribute noop_with_empty_axes: it exists from opset 18 on.",
    );
    expect(refused(() => emit.BatchNormalization([x, y, y, y, y], { spatial: 1 }))).toBe(
      "E_UNSUPPORTED: BatchNormalization in opset 17 has no attribute spatial: it was removed in opset 9.",
    );
    // @ts-expect-error: no operator has this name.
    expect(refused(() => emit.many("Convolution", [x], {}, 1))).toBe(
      "E_UNSUPPORTED: There is no operator Convolution.",
    );
    expect("Convolution" in emit ? "there" : Reflect.get(emit, "Convolution")).toBeUndefined();
  });

  it("rejects wrong operand counts and missing required operands", () => {
    const { x, y, emit } = start();
    expect(refused(() => emit.Conv([x]))).toBe("E_UNSUPPORTED: Conv in opset 21: expected 2 to 3 inputs, got 1.");
    expect(refused(() => emit.Relu([x, y]))).toBe("E_UNSUPPORTED: Relu in opset 21: expected 1 input, got 2.");
    expect(refused(() => emit.Concat([], { axis: 0 }))).toMatch(/expected 1 or more inputs, got 0/);
    expect(refused(() => emit.Add([undefined, y]))).toMatch(/Add in opset 21: input 0 is required/);
    expect(refused(() => emit.Concat([x, undefined, y], { axis: 0 }))).toMatch(/input 1 is required/);
    expect(refused(() => emit.many("Relu", [x], {}, 2))).toMatch(/Relu in opset 21: expected 1 output, got 2/);
    expect(refused(() => emit.many("TopK", [x, y], {}, 1))).toMatch(/TopK in opset 21: expected 2 outputs, got 1/);
    expect(refused(() => emit.many("TopK", [x, y], {}, [false, true]))).toMatch(/output 0 is required/);
  });

  it("leaves graph and imports unchanged after a rejection", () => {
    const { model, x, emit } = start();
    refused(() => emit.Relu([x, x]));
    refused(() => emit.Softmax([x], { axis: 0.5 }));
    refused(() => emit["com.microsoft.FusedMatMul"]([x]));
    expect(model.graph.nodeCount).toBe(0);
    expect(x.uses.size).toBe(0);
    expect([...model.opsets]).toEqual([["", 21]]);
  });

  it("uses the new import after a change", () => {
    const { model, x, emit } = start(17);
    model.header.opsets.set("", 20);
    expect(emit.Gelu([x]).producer?.op).toBe("Gelu");
    expect(refused(() => emitter(model.graph, { opsets: new Map() }).Gelu([x]))).toBe(
      "E_UNSUPPORTED: The model imports no operator set of ai.onnx.",
    );
  });

  it("imports com.microsoft with its first operator", () => {
    const { model, x, y, emit } = start();
    emit.Relu([x]);
    expect(model.opsets.has("com.microsoft")).toBe(false);
    const product = emit["com.microsoft.FusedMatMul"]([x, y], { alpha: 0.5, transB: 1 });
    expect(product.producer).toMatchObject({ domain: "com.microsoft", op: "FusedMatMul" });
    expect([...model.opsets]).toEqual([
      ["", 21],
      ["com.microsoft", 1],
    ]);
    // The standard operator of this name has another schema.
    expect(refused(() => emit.QuantizeLinear([x]))).toMatch(/QuantizeLinear in opset 21: expected 2 to 3 inputs/);
    expect(refused(() => emit["com.microsoft.QuantizeLinear"]([x]))).toMatch(
      /com\.microsoft\.QuantizeLinear in version 1: expected 2 to 3 inputs/,
    );
  });
});

describe("emitted subgraphs", () => {
  it("builds branches with functions that read values of outer graphs", () => {
    const { model, x, y, emit: atEnd } = start();
    const condition = model.graph.addInput("condition", { type: "bool", dims: [] });
    const before = producerOf(atEnd.Relu([y]));
    const seen: string[] = [];
    const emit = emitInto(model, { before, by: "test", onNode: (node) => seen.push(node.op) });
    const out = emit.If([condition], {
      then_branch: (inner) => [inner.Add([x, y])],
      else_branch: (inner) => [inner.Mul([x, inner.constant(float32([], [2]))])],
    });
    const node = producerOf(out);
    const [then, otherwise] = subgraphs(node);
    expect(then?.parent).toBe(node);
    expect([...(then?.nodes() ?? [])].map((inner) => inner.op)).toEqual(["Add"]);
    expect(then?.outputs.map((value) => value.name)).toEqual(["Add"]);
    expect(otherwise?.ownValue("constant")?.tensor?.small).toEqual(float32([], [2]));
    expect([...x.uses].map((use) => use.node.op)).toEqual(["Add", "Mul"]);
    expect(seen).toEqual(["Add", "Mul", "If"]);
    expect([...(otherwise?.nodes() ?? [])][0]?.metadata.get(passKey)).toBe("test");
  });

  it("builds a loop body with inputs, with names unique in the whole model", () => {
    const { x, emit } = start();
    emit.named("step").Relu([x]);
    const trips = emit.constant(int64([], [3]));
    const [final] = emit.many(
      "Loop",
      [trips, undefined, x],
      {
        body: (inner, body) => {
          body.addInput("iteration", { type: "int64", dims: [] });
          const go = body.addInput("go", { type: "bool", dims: [] });
          const carried = body.addInput("carried", x.type);
          return [inner.Identity([go]), inner.named("step").Neg([carried])];
        },
      },
      1,
    );
    const [body] = subgraphs(producerOf(final));
    expect(body?.outputs.map((value) => value.name)).toEqual(["Identity", "step_1"]);
    expect(producerOf(final).inputs).toEqual([trips, undefined, x]);
  });

  it("accepts further nodes in a branch from a separate emitter", () => {
    const { model, x, emit } = start();
    const condition = model.graph.addInput("condition", { type: "bool", dims: [] });
    const out = emit.If([condition], {
      then_branch: (inner) => [inner.Relu([x])],
      else_branch: (inner) => [inner.Neg([x])],
    });
    const [then] = subgraphs(producerOf(out));
    if (then === undefined) throw new Error("no subgraph");
    const [relu] = [...then.nodes()];
    if (relu === undefined) throw new Error("no node");
    emitter(then, { opsets: model.header.opsets, before: relu }).Exp([x]);
    expect([...then.nodes()].map((node) => node.op)).toEqual(["Exp", "Relu"]);
  });

  it("rejects a graph instead of a function", () => {
    const { model, x, emit } = start();
    const branch = (): Value[] => [x];
    // @ts-expect-error: a graph cannot exist before its node.
    expect(refused(() => emit.If([x], { then_branch: model.graph, else_branch: branch }))).toBe(
      "E_TYPE_MISMATCH: If: attribute then_branch: expected graph, got an object.",
    );
    // @ts-expect-error: axis is a number, not a function.
    expect(refused(() => emit.Softmax([x], { axis: branch }))).toMatch(/expected int/);
  });
});
