import { describe, expect, test } from "vitest";
import { message, richModel } from "../../../test/core/onnx/messages.ts";
import { counting } from "../../../test/counting.ts";
import { PithError } from "../errors.ts";
import { encodeToBytes } from "./encode.ts";
import {
  attributeFields,
  graphFields,
  modelFields,
  nodeFields,
  opsetFields,
  sparseFields,
  tensorFields,
  valueInfoFields,
} from "./field-numbers.ts";
import { splitFields } from "./fields.ts";
import { open } from "./index.ts";
import { readOpset } from "./metadata.ts";
import { readValueInfo, UnknownDims } from "./value-info.ts";
import type { Writer } from "./writer.ts";

function modelOf(fill: (graph: Writer) => void): Promise<Uint8Array> {
  return message((model) => {
    model.integer(modelFields.irVersion, 8);
    model.message(modelFields.graph, fill);
    model.message(modelFields.opsetImport, (opset) => opset.integer(opsetFields.version, 17));
  });
}

function node(graph: Writer, op: string, inputs: readonly string[], outputs: readonly string[]): void {
  graph.message(graphFields.node, (node) => {
    for (const input of inputs) node.text(nodeFields.input, input);
    for (const output of outputs) node.text(nodeFields.output, output);
    node.text(nodeFields.op, op);
  });
}

function tensor(graph: Writer, name: string, count: number, bytes = 4 * count): void {
  graph.message(graphFields.initializer, (tensor) => {
    tensor.integer(tensorFields.dims, count);
    tensor.integer(tensorFields.type, 1);
    tensor.text(tensorFields.name, name);
    tensor.bytes(tensorFields.rawData, new Uint8Array(bytes));
  });
}

function info(graph: Writer, field: number, name: string): void {
  graph.message(field, (info) => info.text(valueInfoFields.name, name));
}

test.each([
  ["individually", (sparse: Writer) => [12, 8].map((dim) => sparse.integer(sparseFields.dims, dim))],
  ["packed", (sparse: Writer) => sparse.bytes(sparseFields.dims, Uint8Array.of(12, 8))],
])("open reads all dimensions of a sparse weight, written %s", async (_, dims) => {
  const model = await open(
    await modelOf((graph) =>
      graph.message(graphFields.sparseInitializer, (sparse) => {
        sparse.message(sparseFields.values, (values) => {
          values.integer(tensorFields.dims, 1);
          values.integer(tensorFields.type, 1);
          values.text(tensorFields.name, "w");
          values.bytes(tensorFields.rawData, new Uint8Array(4));
        });
        dims(sparse);
      }),
    ),
  );
  expect(model.graph.value("w")?.type).toEqual({ type: "float32", dims: [12, 8] });
});

describe("open without reading the weights", () => {
  test("reads less than 1 MiB of a file with 64 weights of 128 KiB", async () => {
    const source = counting(
      await modelOf((graph) => {
        for (let index = 0; index < 64; index++) node(graph, "MatMul", ["x", `w${index}`], [`y${index}`]);
        for (let index = 0; index < 64; index++) tensor(graph, `w${index}`, 2 ** 15);
        info(graph, graphFields.input, "x");
      }),
    );
    const model = await open(source);
    expect(source.size).toBeGreaterThan(8 * 2 ** 20);
    expect(source.total).toBeLessThan(2 ** 20);
    expect(source.reads).toBeLessThan(200);
    const before = source.total;
    expect((await model.graph.value("w17")?.tensor?.read())?.data.length).toBe(2 ** 15);
    expect(source.total - before).toBe(2 ** 17);
  });

  test("does not read weights in constants of a branch", async () => {
    const branchOf = (branch: Writer): void => {
      branch.message(graphFields.node, (constant) => {
        constant.text(nodeFields.output, "c");
        constant.text(nodeFields.op, "Constant");
        constant.message(nodeFields.attribute, (value) => {
          value.text(attributeFields.name, "value");
          value.message(attributeFields.tensor, (tensor) => {
            tensor.integer(tensorFields.dims, 2 ** 20);
            tensor.integer(tensorFields.type, 1);
            tensor.bytes(tensorFields.rawData, new Uint8Array(2 ** 22));
            tensor.text(tensorFields.doc, "large");
          });
          value.text(attributeFields.doc, "kept");
          value.integer(attributeFields.type, 4);
        });
      });
    };
    const source = counting(
      await modelOf((graph) => {
        graph.message(graphFields.node, (conditional) => {
          conditional.text(nodeFields.input, "flag");
          conditional.text(nodeFields.output, "y");
          conditional.text(nodeFields.op, "If");
          conditional.message(nodeFields.attribute, (branch) => {
            branch.text(attributeFields.name, "then_branch");
            branch.message(attributeFields.graph, branchOf);
            branch.text(attributeFields.doc, "kept too");
            branch.integer(attributeFields.type, 5);
          });
        });
        info(graph, graphFields.input, "flag");
      }),
    );
    const model = await open(source);
    expect(source.total).toBeLessThan(2 ** 16);
    const again = await encodeToBytes(model);
    const before = await source.read(0, source.size);
    expect(Buffer.compare(again, before)).toBe(0);
    // Unknown fields next to the graph in its attribute are copied too.
    expect(Buffer.compare(await encodeToBytes(model.clone()), before)).toBe(0);
  });
});

describe("open", () => {
  test("sorts nodes that are out of order", async () => {
    const bytes = await modelOf((graph) => {
      node(graph, "Relu", ["b"], ["c"]);
      node(graph, "Neg", ["a"], ["b"]);
      info(graph, graphFields.input, "a");
      info(graph, graphFields.output, "c");
    });
    expect([...(await open(bytes)).graph.nodes()].map(({ op }) => op)).toEqual(["Neg", "Relu"]);
  });

  test("accepts subgraphs that read values produced later in the file", async () => {
    const bytes = await modelOf((graph) => {
      graph.message(graphFields.node, (conditional) => {
        conditional.text(nodeFields.input, "flag");
        conditional.text(nodeFields.output, "y");
        conditional.text(nodeFields.op, "If");
        conditional.message(nodeFields.attribute, (branch) => {
          branch.text(attributeFields.name, "then_branch");
          branch.message(attributeFields.graph, (inner) => {
            node(inner, "Neg", ["late"], ["t"]);
            info(inner, graphFields.output, "t");
          });
          branch.integer(attributeFields.type, 5);
        });
      });
      node(graph, "Relu", ["x"], ["late"]);
      info(graph, graphFields.input, "x");
      info(graph, graphFields.input, "flag");
    });
    const { graph } = await open(bytes);
    expect([...graph.nodes()].map(({ op }) => op)).toEqual(["Relu", "If"]);
    expect(graph.value("late")?.uses.size).toBe(1);
  });

  test("lists weights as inputs for an old file", async () => {
    const bytes = await modelOf((graph) => {
      node(graph, "Add", ["x", "w"], ["y"]);
      tensor(graph, "w", 3);
      info(graph, graphFields.input, "x");
      info(graph, graphFields.input, "w");
      info(graph, graphFields.output, "y");
    });
    const { graph } = await open(bytes);
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x", "w"]);
    expect(graph.feeds.map(({ name }) => name)).toEqual(["x"]);
  });
});

describe("open on broken models", () => {
  const cases: readonly (readonly [what: string, fill: (graph: Writer) => void, sentence: RegExp])[] = [
    [
      "two tensors of one name",
      (graph) => {
        tensor(graph, "w", 3);
        tensor(graph, "w", 3);
      },
      /"w" is defined twice/,
    ],
    [
      "two inputs of one name",
      (graph) => {
        info(graph, graphFields.input, "x");
        info(graph, graphFields.input, "x");
      },
      /"x" is defined twice/,
    ],
    [
      "two nodes that produce one value",
      (graph) => {
        node(graph, "Relu", [], ["a"]);
        node(graph, "Neg", [], ["a"]);
      },
      /"a" is defined twice/,
    ],
    [
      "a node that produces an input",
      (graph) => {
        node(graph, "Relu", [], ["x"]);
        info(graph, graphFields.input, "x");
      },
      /"x" is defined twice/,
    ],
    ["a node without operator", (graph) => node(graph, "", [], ["y"]), /has no operator type/],
    [
      "an input without a producer",
      (graph) => node(graph, "Relu", ["a"], ["y"]),
      /Relu "y": nothing produces its input "a"/,
    ],
    [
      "an output without a producer",
      (graph) => info(graph, graphFields.output, "y"),
      /nothing produces its output "y"/,
    ],
    [
      "a cycle",
      (graph) => {
        node(graph, "Relu", ["b"], ["a"]);
        node(graph, "Neg", ["a"], ["b"]);
      },
      /depends on itself/,
    ],
    ["a node that uses its own output", (graph) => node(graph, "Relu", ["a"], ["a"]), /depends on itself/],
    ["a tensor with too few bytes", (graph) => tensor(graph, "w", 3, 8), /tensor "w".*12 bytes, it has 8/],
    ["a large tensor with too few bytes", (graph) => tensor(graph, "w", 2 ** 15, 2 ** 16), /tensor "w"/],
    ["a tensor without a name", (graph) => tensor(graph, "", 3), /has no name/],
    [
      "a repeated attribute",
      (graph) =>
        graph.message(graphFields.node, (node) => {
          node.text(nodeFields.op, "Example");
          for (let count = 0; count < 2; count++) {
            node.message(nodeFields.attribute, (attribute) => {
              attribute.text(attributeFields.name, "axis");
              attribute.integer(attributeFields.int, 1);
              attribute.integer(attributeFields.type, 2);
            });
          }
        }),
      /"axis" is given twice/,
    ],
  ];

  test.each(cases)("rejects %s", async (_, fill, sentence) => {
    const error: unknown = await open(await modelOf(fill)).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PithError);
    expect(error).toMatchObject({ code: "E_MODEL", message: expect.stringMatching(sentence) });
  });

  test("rejects subgraphs nested more than 100 deep", async () => {
    // The file is built from the innermost graph outward, because the writer would recurse.
    const nested = async (depth: number): Promise<Uint8Array> => {
      let graph: Uint8Array = new Uint8Array(0);
      for (let level = 0; level < depth; level++) {
        const inner = graph;
        graph = await message((outer) =>
          outer.message(graphFields.node, (node) => {
            node.text(nodeFields.op, "If");
            node.message(nodeFields.attribute, (attribute) => {
              attribute.text(attributeFields.name, "then_branch");
              attribute.bytes(attributeFields.graph, inner);
              attribute.integer(attributeFields.type, 5);
            });
          }),
        );
      }
      return message((model) => {
        model.bytes(modelFields.graph, graph);
        model.message(modelFields.opsetImport, (opset) => opset.integer(opsetFields.version, 17));
      });
    };
    await expect(open(await nested(99))).resolves.toBeDefined();
    await expect(open(await nested(5000))).rejects.toMatchObject({
      code: "E_MODEL",
      message: expect.stringMatching(/more than 100 deep/),
    });
  });

  test.each([
    ["equal versions", [17, 17], 17, []],
    ["different versions, of which the last counts", [18, 18, 15], 15, [/ai\.onnx is imported twice: 15.*not 18/]],
  ] as const)("accepts a repeated operator set: %s", async (_, versions, version, warnings) => {
    const file = await message((model) => {
      model.integer(modelFields.irVersion, 8);
      model.message(modelFields.graph, () => {});
      for (const [index, version] of versions.entries()) {
        model.message(modelFields.opsetImport, (opset) => {
          // ai.onnx is the long name of the default domain.
          if (index === 1) opset.text(opsetFields.domain, "ai.onnx");
          opset.integer(opsetFields.version, version);
        });
      }
    });
    const warned: string[] = [];
    const model = await open(file, { warn: (text) => warned.push(text) });
    expect(model.opsets.get("")).toBe(version);
    expect(warned).toEqual(warnings.map((warning) => expect.stringMatching(warning)));
    const written = splitFields(await encodeToBytes(model)).filter(({ number }) => number === modelFields.opsetImport);
    expect(written.map(readOpset)).toEqual([["", version]]);
  });

  test("rejects a file without operator sets or without a graph", async () => {
    const without = await message((model) => {
      model.integer(modelFields.irVersion, 8);
      model.message(modelFields.graph, () => {});
    });
    await expect(open(without)).rejects.toMatchObject({
      code: "E_MODEL",
      message: expect.stringMatching(/its operator set is missing \(opset_import\)\.$/),
      hint: expect.stringMatching(/opset_imports/),
    });
    await expect(open(await message((model) => model.integer(1, 8)))).rejects.toMatchObject({ code: "E_NOT_ONNX" });
  });
});

describe("open on damaged files", () => {
  /** Opens and reads everything. Only a PithError is an accepted failure. */
  async function readAll(bytes: Uint8Array): Promise<"opened" | "refused"> {
    try {
      const model = await open(bytes);
      for (const value of model.graph.values()) await value.tensor?.read();
      await encodeToBytes(model);
      return "opened";
    } catch (error) {
      if (error instanceof PithError) return "refused";
      throw error;
    }
  }

  /** Encodes a model small enough to be truncated at every byte. */
  async function smallModel(): Promise<Uint8Array> {
    const model = richModel();
    for (const name of ["conv.weight", "mask", "fc"]) {
      const value = model.graph.value(name);
      if (value?.tensor !== undefined) value.tensor = { ...(model.graph.value("conv.bias")?.tensor ?? value.tensor) };
    }
    return encodeToBytes(model);
  }

  test("rejects a truncated file, or opens it with fewer fields", async () => {
    const bytes = await smallModel();
    let refused = 0;
    for (let length = 0; length < bytes.byteLength; length++) {
      if ((await readAll(bytes.slice(0, length))) === "refused") refused++;
    }
    // The fields after the operator set imports can be missing unnoticed.
    expect(refused).toBeGreaterThan(0.95 * bytes.byteLength);
    expect(await readAll(bytes)).toBe("opened");
  });

  test("rejects or opens a file with flipped bits", async () => {
    const bytes = await smallModel();
    // A fixed multiplicative sequence gives the same flips in every run.
    let state = 12345;
    const next = (): number => {
      state = (state * 48271) % 2147483647;
      return state;
    };
    const outcomes = { opened: 0, refused: 0 };
    for (let round = 0; round < 250; round++) {
      const damaged = bytes.slice();
      for (let flips = 1 + (next() % 4); flips > 0; flips--) {
        const at = next() % damaged.byteLength;
        damaged[at] = (damaged[at] ?? 0) ^ (1 << (next() % 8));
      }
      outcomes[await readAll(damaged)]++;
    }
    expect(outcomes.refused).toBeGreaterThan(25);
    expect(outcomes.opened).toBeGreaterThan(25);
  });
});

test("unknown dimensions of sequences with one name in sibling subgraphs differ", () => {
  // "s": a sequence of float32 tensors with one dimension.
  const bytes = Uint8Array.from(Buffer.from("0a0173120c220a0a080a0608011202" + "0a00", "hex"));
  const unknownDims = new UnknownDims();
  const texts = [1, 2].map(() => JSON.stringify(readValueInfo(bytes, 0, unknownDims).foreign?.container));
  expect(texts[0]).toContain("?s:element.0");
  expect(texts[1]).not.toBe(texts[0]);
});
