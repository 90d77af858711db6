/** Tests damaged and hostile files: each opens, or a PithError names the position of the error. */
import { describe, expect, test } from "vitest";
import { encodeToBytes } from "../../../src/core/onnx/encode.ts";
import {
  attributeFields,
  graphFields,
  modelFields,
  nodeFields,
  tensorFields,
} from "../../../src/core/onnx/field-numbers.ts";
import { splitFields } from "../../../src/core/onnx/fields.ts";
import { open } from "../../../src/core/onnx/index.ts";
import type { Writer } from "../../../src/core/onnx/writer.ts";
import { random } from "../../../src/core/tensor/random.ts";
import { damaged, readAll } from "./damage.ts";
import { message } from "./messages.ts";
import { fromPlain } from "./oracle.ts";
import { randomModel } from "./random-model.ts";

/** Returns random models of one to three kilobytes. */
function smallModels(count: number): Uint8Array[] {
  const encodings: Uint8Array[] = [];
  for (let seed = 0; encodings.length < count; seed++) {
    const bytes = fromPlain(randomModel(seed));
    if (bytes.byteLength > 1000 && bytes.byteLength < 3000) encodings.push(bytes);
  }
  return encodings;
}

test("opening rejects models truncated at any length, unless the beginning is a valid model", async () => {
  for (const bytes of smallModels(3)) {
    const ends = new Set(splitFields(bytes).map(({ end }) => end));
    for (let length = 0; length < bytes.byteLength; length++) {
      if ((await readAll(bytes.slice(0, length))) === "opened") expect(ends).toContain(length);
    }
    expect(await readAll(bytes)).toBe("opened");
  }
});

test("opening rejects or reads models with damaged bits, bytes and lengths", async () => {
  const numbers = random(7, "damage");
  const outcomes = { opened: 0, refused: 0 };
  for (const bytes of smallModels(10))
    for (let round = 0; round < 40; round++) outcomes[await readAll(damaged(bytes, numbers))]++;
  expect(outcomes.refused).toBeGreaterThan(130);
  expect(outcomes.opened).toBeGreaterThan(25);
});

test("opening rejects random bytes", async () => {
  const numbers = random(7, "noise");
  for (let round = 0; round < 300; round++) {
    const noise = Uint8Array.from({ length: 1 + numbers.integer(300) }, () => numbers.integer(256));
    expect(await readAll(noise)).toBe("refused");
  }
});

describe("open on small files that request much memory", () => {
  const modelOf = (fill: (graph: Writer) => void): Promise<Uint8Array> =>
    message((model) => {
      model.integer(modelFields.irVersion, 8);
      model.message(modelFields.graph, fill);
      model.message(modelFields.opsetImport, (opset) => opset.integer(2, 17));
    });
  const repeated = (count: number, fill: (index: number) => void): void => {
    for (let index = 0; index < count; index++) fill(index);
  };

  test.each([
    ["dimensions of a tensor", "E_MODEL", /more than 1024 dimensions/],
    ["dimensions of an input", "E_MODEL", /"x": it has more than 1024 dimensions/],
  ])("rejects too many %s", async (what, code, sentence) => {
    const bytes = await modelOf((graph) => {
      if (what === "dimensions of a tensor") {
        graph.message(graphFields.initializer, (tensor) => {
          tensor.bytes(tensorFields.dims, new Uint8Array(100_000).fill(1));
          tensor.integer(tensorFields.type, 1);
          tensor.text(tensorFields.name, "w");
        });
        return;
      }
      graph.message(graphFields.input, (input) => {
        input.text(1, "x");
        input.message(2, (type) =>
          type.message(1, (tensor) => {
            tensor.integer(1, 1);
            tensor.message(2, (shape) => repeated(100_000, () => shape.message(1, () => {})));
          }),
        );
      });
    });
    await expect(open(bytes)).rejects.toMatchObject({ code, message: expect.stringMatching(sentence) });
  });

  test.each([[[2 ** 62, 4]], [[2 ** 31, 2 ** 31, 2 ** 31]], [[1, -1]], [[2 ** 53, 1]], [[1e15]]])(
    "rejects a tensor of dimensions %j before memory is allocated",
    async (dims) => {
      const bytes = await modelOf((graph) =>
        graph.message(graphFields.initializer, (tensor) => {
          for (const dim of dims) tensor.integer(tensorFields.dims, dim < 2 ** 53 ? dim : BigInt(dim));
          tensor.integer(tensorFields.type, 1);
          tensor.text(tensorFields.name, "w");
          tensor.bytes(tensorFields.rawData, new Uint8Array(8));
        }),
      );
      await expect(open(bytes)).rejects.toMatchObject({
        code: "E_MODEL",
        message: expect.stringMatching(/tensor "w"/),
      });
    },
  );

  test("accepts any dimensions of an empty tensor", async () => {
    const bytes = await modelOf((graph) =>
      graph.message(graphFields.initializer, (tensor) => {
        for (const dim of [2 ** 40, 0]) tensor.integer(tensorFields.dims, dim);
        tensor.integer(tensorFields.type, 1);
        tensor.text(tensorFields.name, "w");
      }),
    );
    expect((await (await open(bytes)).graph.value("w")?.tensor?.read())?.data.length).toBe(0);
  });

  test("keeps dimension names that would expand to long sums", async () => {
    const text = `${"(a+b+c+d)*".repeat(100)}1`;
    const long = "a*b + ".repeat(100_000);
    for (const name of [text, long, "(".repeat(1000)]) {
      const bytes = await modelOf((graph) =>
        graph.message(graphFields.input, (input) => {
          input.text(1, "x");
          input.message(2, (type) =>
            type.message(1, (tensor) => {
              tensor.integer(1, 1);
              tensor.message(2, (shape) => shape.message(1, (dim) => dim.text(2, name)));
            }),
          );
        }),
      );
      const model = await open(bytes);
      expect(Buffer.compare(await encodeToBytes(model), bytes)).toBe(0);
    }
  });

  test("keeps nested types at any depth", async () => {
    let type: Uint8Array = Uint8Array.of(0x0a, 2, 0x08, 1);
    // sequence_type { elem_type { … } }
    for (let level = 0; level < 2000; level++) {
      const inner = type;
      type = await message((outer) => outer.message(4, (sequence) => sequence.bytes(1, inner)));
    }
    const bytes = await modelOf((graph) =>
      graph.message(graphFields.input, (input) => {
        input.text(1, "x");
        input.bytes(2, type);
      }),
    );
    expect(Buffer.compare(await encodeToBytes(await open(bytes)), bytes)).toBe(0);
  });

  test("reads 100 nested subgraphs that use one value in linear time", async () => {
    let inner = await message((graph) =>
      repeated(3000, (index) =>
        graph.message(graphFields.node, (node) => {
          node.text(nodeFields.input, "x");
          node.text(nodeFields.output, `q${index}`);
          node.text(nodeFields.op, "Y");
        }),
      ),
    );
    for (let level = 0; level < 98; level++) {
      const before = inner;
      inner = await message((graph) =>
        graph.message(graphFields.node, (node) => {
          node.text(nodeFields.op, "If");
          node.message(nodeFields.attribute, (attribute) => {
            attribute.text(attributeFields.name, "then_branch");
            attribute.bytes(attributeFields.graph, before);
            attribute.integer(attributeFields.type, 5);
          });
        }),
      );
    }
    const bytes = await message((model) => {
      model.message(modelFields.graph, (graph) => graph.message(graphFields.input, (x) => x.text(1, "x")), inner);
      model.message(modelFields.opsetImport, (opset) => opset.integer(2, 17));
    });
    expect((await open(bytes)).graph.value("x")?.uses.size).toBe(3000);
  });
});
