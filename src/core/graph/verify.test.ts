import { describe, expect, test } from "vitest";
import { producer, value } from "../../../test/find.ts";
import { topologies } from "../../../test/zoo/topologies.ts";
import { PithError } from "../errors.ts";
import { float32, inMemory } from "../tensor/dense.ts";
import { Graph, type Node, subgraphs, type Use, type Value } from "./graph.ts";
import type { Model } from "./model.ts";
import { mask, parameter, straightThrough } from "./role.ts";
import { parseModel } from "./text.ts";
import { assertValid, verify } from "./verify.ts";

const body = (lines: string, inputs = "x: float32[2]", outputs = "y"): Model =>
  parseModel(`opset 21, com.microsoft 1\ngraph (${inputs}) -> (${outputs}) {\n${lines}\n}\n`);

/** These change the graph directly, which only a bug could do. */
const uses = (of: Value): Set<Use> => of.uses as Set<Use>;
const inputs = (of: Node): (Value | undefined)[] => of.inputs as (Value | undefined)[];
const tamper = (target: object, properties: object): void => {
  Object.assign(target, properties);
};

const branches = (then: string, otherwise = "e = Exp(x)"): Model =>
  body(
    `  a = Relu(x)\n  y = If(flag) {then_branch=graph () -> (t) { ${then} }, else_branch=graph () -> (e) { ${otherwise} }}\n  b = Neg(x)`,
    "x: float32[2], flag: bool[]",
  );

test.each(topologies)("verify accepts $name", ({ text }) => {
  expect(verify(parseModel(text))).toEqual([]);
});

describe("verify on the sources of values", () => {
  test("reports a value that is used before it is produced", () => {
    expect(verify(body("y = Relu(h)\nh = Neg(x)"))).toEqual(['Relu "y": input 0, "h", is used before it is produced.']);
  });

  test("reports a value without a source", () => {
    const model = body("y = Relu(x)");
    model.graph.setInputs([]);
    expect(verify(model)).toEqual(['Relu "y": input 0, "x", is neither an input, nor stored, nor produced.']);
  });

  test("accepts values produced before a subgraph's node, but not later ones", () => {
    expect(verify(branches("t = Abs(a)"))).toEqual([]);
    expect(verify(branches("t = Abs(b)"))).toEqual(['Abs "t": input 0, "b", is used before it is produced.']);
  });

  test("reports an output without a source", () => {
    const model = body("y = Relu(x)");
    model.graph.addOutput(model.graph.addValue("z"));
    expect(verify(model)).toEqual(['Output "z" is neither an input, nor stored, nor produced.']);
  });

  test("reports a subgraph output that is a value of an outer graph", () => {
    const outer = "y = If(flag) {then_branch=graph () -> (a) {}, else_branch=graph () -> (e) { e = Exp(x) }}";
    expect(verify(body(`a = Relu(x)\n${outer}`, "x: float32[2], flag: bool[]"))).toEqual([
      'Output "a" of the graph in If "y" is a value of an outer graph: put an Identity between them.',
    ]);
  });

  test("accepts a sparse weight as stored", () => {
    const model = body("y = Relu(x)");
    model.graph.setInputs([]);
    value(model.graph, "x").foreign = { sparse: Uint8Array.of(1) };
    expect(verify(model)).toEqual([]);
  });

  test("accepts inputs, stored tensors and outputs that are either", () => {
    expect(verify(body("w: float32[2] = ones", "x: float32[2]", "x, w"))).toEqual([]);
  });
});

describe("verify on links between values and nodes", () => {
  const model = (): Model => body("  h = Relu(x)\n  y = Neg(h)");

  test("reports a use that is not an input of the node", () => {
    const broken = model();
    uses(value(broken.graph, "x")).add({ node: producer(broken.graph, "y"), input: 0 });
    expect(verify(broken)).toEqual(['"x" is not input 0 of Neg "y", as its uses say.']);
  });

  test("reports an input that its value does not list as a use", () => {
    const broken = model();
    uses(value(broken.graph, "h")).clear();
    expect(verify(broken)).toEqual(['"h" does not list Neg "y" among its uses.']);
  });

  test("reports a use that is counted twice", () => {
    const broken = model();
    uses(value(broken.graph, "h")).add({ node: producer(broken.graph, "y"), input: 0 });
    expect(verify(broken)).toEqual(['"h" counts input 0 of Neg "y" twice.']);
  });

  test("reports a use by a node that is not in the model", () => {
    const broken = model();
    const other = model();
    uses(value(broken.graph, "h")).add({ node: producer(other.graph, "y"), input: 0 });
    expect(verify(broken)).toContain('"h" is used by Neg "y", which is not in the model.');
  });

  test("reports an input that is not in the model", () => {
    const broken = model();
    const node = producer(broken.graph, "y");
    const foreign = new Graph().addValue("gone");
    inputs(node)[0] = foreign;
    expect(verify(broken)).toContain('Neg "y": input 0, "gone", is neither an input, nor stored, nor produced.');
    const removed = broken.graph.addValue("removed");
    broken.graph.removeValue(removed);
    inputs(node)[0] = removed;
    expect(verify(broken)).toContain('Neg "y": input 0, "removed", is no longer in the model.');
  });

  test("reports an output that does not name its producer", () => {
    const broken = model();
    tamper(value(broken.graph, "h"), { producer: producer(broken.graph, "y") });
    expect(verify(broken)).toEqual([
      '"h" is not an output of Neg "y", its producer.',
      '"h" does not name Relu "h" as its producer.',
    ]);
  });

  test("reports a producer that is not in the model", () => {
    const broken = model();
    tamper(value(broken.graph, "h"), { producer: producer(model().graph, "h") });
    expect(verify(broken)).toContain('"h" is produced by Relu "h", which is not in the model.');
  });

  test("reports a value that is produced and also stored or fed", () => {
    const stored = model();
    value(stored.graph, "h").tensor = inMemory(float32([2], [1, 2]));
    expect(verify(stored)).toEqual(['"h" is stored and produced by Relu "h".']);
    const fed = model();
    fed.graph.setInputs([...fed.graph.inputs, value(fed.graph, "h")]);
    expect(verify(fed)).toEqual(['"h" is an input and produced by Relu "h".']);
  });

  test("reports a subgraph that belongs to another node", () => {
    const broken = branches("t = Abs(x)");
    const foreign = new Graph(producer(broken.graph, "a"));
    foreign.addOutput(
      foreign.addNode({ op: "Abs", inputs: [value(broken.graph, "x")], outputs: ["q"] }).outputs[0] as Value,
    );
    broken.graph.setAttribute(producer(broken.graph, "y"), "then_branch", { kind: "graph", value: foreign });
    expect(verify(broken)).toEqual(['If "y": its subgraph "" belongs to another node.']);
  });
});

describe("verify on names", () => {
  test("reports a value that hides an outer one that is read beside it, but accepts other equal names", () => {
    const broken = branches("t = Abs(x)");
    const [inner] = subgraphs(producer(broken.graph, "y"));
    inner?.addNode({ op: "Neg", inputs: [value(broken.graph, "x")], outputs: ["a"] });
    expect(verify(broken)).toEqual([]);
    inner?.addNode({ op: "Neg", inputs: [value(broken.graph, "a")], outputs: ["b"] });
    expect(verify(broken)).toEqual(['"a" in the graph in If "y" hides a value of the same name around it.']);
    expect(verify(branches("t = Abs(x); same = Neg(x)", "e = Exp(x); same = Neg(x)"))).toEqual([]);
  });

  test("reports two nodes of one name in a graph, but not in two graphs", () => {
    expect(verify(body('h = Relu "n" (x)\ny = Neg "n" (h)'))).toEqual(['Two nodes are called "n".']);
    expect(verify(branches('t = Abs "n" (x)', 'e = Exp "n" (x)'))).toEqual([]);
  });

  test("reports a value that is not found under its name", () => {
    const broken = body("h = Relu(x)\ny = Neg(h)");
    tamper(value(broken.graph, "h"), { name: "other" });
    expect(verify(broken)).toContain('"other" is not found under its name.');
  });

  test("reports a value without a name", () => {
    const broken = body("y = Relu(x)");
    broken.graph.addTensor("", inMemory(float32([1], [1])));
    expect(verify(broken)).toEqual(["A value has no name."]);
  });
});

describe("verify on stored tensors", () => {
  test.each([
    ["another element type", { type: "float16", dims: [2] }, '"w" is declared float16[2], but float32[2] is stored.'],
    ["another size", { type: "float32", dims: [3] }, '"w" is declared float32[3], but float32[2] is stored.'],
    ["another rank", { type: "float32", dims: [2, 1] }, '"w" is declared float32[2, 1], but float32[2] is stored.'],
  ] as const)("reports %s than declared", (_, type, fault) => {
    const model = body("w: float32[2] = ones\ny = Add(x, w)");
    value(model.graph, "w").type = type;
    expect(verify(model)).toEqual([fault]);
  });

  test("accepts an unknown rank or a named dimension", () => {
    expect(verify(body("y = Add(x, w)", "x: float32[2], w: float32[2] = ones"))).toEqual([]);
    const model = body("w: float32[2] = ones\ny = Add(x, w)");
    value(model.graph, "w").type = { type: "float32", dims: undefined };
    expect(verify(model)).toEqual([]);
    value(model.graph, "w").type = { type: "float32", dims: [{ text: "n" }] };
    expect(verify(model)).toEqual([]);
  });
});

describe("verify on roles", () => {
  test("requires that a mask or parameter is stored or fed", () => {
    const model = body(
      "w: float32[2] mask = ones\nm = Mul(x, w)\ny = Mul(m, p)",
      "x: float32[2], p: float32[2] parameter",
    );
    expect(verify(model)).toEqual([]);
    value(model.graph, "m").role = mask;
    expect(verify(model)).toEqual(['"m" is a mask, but neither stored nor an input.']);
    value(model.graph, "m").role = parameter;
    expect(verify(model)).toEqual(['"m" is a parameter, but neither stored nor an input.']);
  });

  test("requires that a node produces a straight-through value", () => {
    const model = body("h = Round(x)\ny = Neg(h)");
    value(model.graph, "h").role = straightThrough;
    expect(verify(model)).toEqual([]);
    value(model.graph, "x").role = straightThrough;
    expect(verify(model)).toEqual(['"x" is straight-through, but no node produces it.']);
    value(model.graph, "x").role = undefined;
    value(model.graph, "h").role = { kind: "straight-through", low: 1, high: -1 };
    expect(verify(model)).toEqual([
      '"h" is straight-through(low=1, high=-1): gradients pass between two bounds of which the lower is above the upper.',
    ]);
  });

  test("requires that a tied value fits an existing tensor that is not tied", () => {
    const tied = (role: string, dims = "[3, 2]"): readonly string[] =>
      verify(body(`w: float32[2, 3] parameter = ones\nv: float32${dims} ${role} = ones\ny = Relu(x)`));
    expect(tied("tied(w, transposed)")).toEqual([]);
    expect(tied("tied(w)", "[2, 3]")).toEqual([]);
    expect(tied("tied(u)")).toEqual(['"v" is tied(u), which does not exist.']);
    expect(tied("tied(v)")).toEqual(['"v" is tied(v): to itself.']);
    expect(tied("tied(w)")).toEqual(['"v" is tied(w), but has the dimensions [3, 2], expected [2, 3].']);
    expect(tied("tied(w, transposed)", "[2, 3]")).toEqual([
      '"v" is tied(w, transposed), but has the dimensions [2, 3], expected [3, 2].',
    ]);
    expect(
      verify(body("u: float32[2] tied(v) = ones\nv: float32[2] tied(w) = ones\nw: float32[2] = ones\ny = Relu(x)")),
    ).toEqual(['"u" is tied(v), which is itself tied.']);
  });
});

describe("verify on operators", () => {
  test.each([
    ["an unknown operator", "y = Relux(x)", 'Relux "y": There is no operator Relux.'],
    ["too many inputs", "y = Relu(x, x)", 'Relu "y": Relu in opset 21: expected 1 input, got 2.'],
    [
      "a gap in variadic outputs",
      "y, _ = Split(x) {num_outputs=2}",
      'Split "y": Split in opset 21: output 1 is required.',
    ],
    ["an unknown attribute", "y = Relu(x) {a=1}", 'Relu "y": Relu has no attribute a.'],
    [
      "an attribute of another kind",
      "y = LeakyRelu(x) {alpha=1}",
      'LeakyRelu "y": attribute alpha is of kind int, expected float.',
    ],
    ["a missing attribute", "y = Concat(x)", 'Concat "y": Concat in opset 21 needs the attribute axis.'],
    [
      "a domain that is not imported",
      "y = ai.onnx.ml.Scaler(x)",
      'ai.onnx.ml.Scaler "y": the model imports no operator set "ai.onnx.ml".',
    ],
    [
      "too many inputs in another domain",
      "y = com.microsoft.Gelu(x, x)",
      'com.microsoft.Gelu "y": com.microsoft.Gelu in version 1: expected 1 input, got 2.',
    ],
  ])("reports %s", (_, lines, fault) => {
    expect(verify(body(lines))).toEqual([fault]);
  });

  test("uses the imported version of the operator set", () => {
    const text = (opset: number) => `opset ${opset}\ngraph (x: float32[2]) -> (y) {\n  y = Gelu(x)\n}\n`;
    expect(verify(parseModel(text(20)))).toEqual([]);
    expect(verify(parseModel(text(19)))).toHaveLength(1);
  });

  test("accepts ai.onnx as a name of the default domain", () => {
    expect(verify(parseModel("opset ai.onnx 21\ngraph (x: float32[2]) -> (y) {\n  y = ai.onnx.Relu(x)\n}\n"))).toEqual(
      [],
    );
  });

  test("accepts any operator of a domain without a schema", () => {
    expect(
      verify(
        parseModel("opset 21, my.domain 1\ngraph (x: float32[2]) -> (y) {\n  y = my.domain.Anything(x) {a=1}\n}\n"),
      ),
    ).toEqual([]);
  });

  test("checks nodes in subgraphs too", () => {
    expect(verify(branches("t = Relux(x)"))).toEqual(['Relux "t": There is no operator Relux.']);
  });
});

describe("assertValid", () => {
  test("throws the first error and mentions the others in the hint", () => {
    const model = body("h = Relux(x)\ny = Relu(h, h)");
    try {
      assertValid(model);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(PithError);
      expect(error).toMatchObject({ code: "E_MODEL", message: 'Relux "h": There is no operator Relux.' });
      expect(error instanceof PithError && error.hint).toMatch(/^1 more: Relu "y"/);
    }
  });

  test("accepts a valid model", () => {
    expect(() => assertValid(body("y = Relu(x)"))).not.toThrow();
  });
});
