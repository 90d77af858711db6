/** The scheme "static" gives the same integers as ONNX Runtime's quantizer, in the same places. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { assertValid } from "../../../src/core/graph/verify.ts";
import { toNumbers } from "../../../src/core/tensor/convert.ts";
import { memory } from "../../../src/data/index.ts";
import { nearest, type QuantizeOptions, quantize } from "../../../src/techniques/quantize/index.ts";
import { calibration, compared, operators, stored } from "./networks.ts";

/** Made by quantize-static.py beside this file, which says how. */
interface Golden {
  readonly cases: readonly {
    readonly network: keyof typeof compared;
    readonly options: QuantizeOptions;
    readonly tensors: Readonly<Record<string, readonly [type: string, numbers: readonly number[]]>>;
    readonly operators: Readonly<Record<string, number>>;
  }[];
}

export const golden = JSON.parse(readFileSync(new URL("static.generated.json", import.meta.url), "utf8")) as Golden;

const data = (name: keyof typeof compared) => memory("calibration", { x: calibration(name) });

export function testGolden(cases: Golden["cases"]): void {
  describe.each(cases)("$network, $options", (expected) => {
    const quantizeNetwork = async () => {
      const { network, options } = expected;
      const model = compared[network]();
      const outcome = await quantize(model, {
        scheme: "static",
        biasCorrection: "none",
        equalize: false,
        // Those of 7 bits are of its whole reduced range, without a look at neighbors.
        ...(options.bits === undefined ? { rounder: { ...nearest, id: "reduced range" } } : {}),
        ...options,
        data: data(network),
      });
      assertValid(model);
      return { model, outcome };
    };

    test("every integer, scale and zero point equals ONNX Runtime's, except for the rounding of fused operators", async () => {
      const { model } = await quantizeNetwork();
      const tensors = [...model.graph.values()].filter((value) => value.tensor !== undefined);
      expect(tensors.map(({ name }) => name).sort()).toEqual(Object.keys(expected.tensors).sort());
      for (const [name, [type, numbers]] of Object.entries(expected.tensors)) {
        const dense = await stored(model, name);
        expect(dense.type, name).toBe(type);
        // Ranges are those of the optimized graph, whose fused operators round differently: a scale differs in its last bits, and a bias by one step.
        const allowed = (value: number): number =>
          type === "float32" ? Math.abs(value) * 2 ** -21 : type === "int32" ? 1 + Math.abs(value) * 2 ** -21 : 0;
        const values = toNumbers(dense);
        expect(values.length, name).toBe(numbers.length);
        expect(
          numbers.filter((value, at) => !(Math.abs(value - (values[at] ?? Number.NaN)) <= allowed(value))),
          name,
        ).toEqual([]);
      }
    });

    test("has as many operators of each type as ONNX Runtime's result", async () => {
      const { model } = await quantizeNetwork();
      const counts: Record<string, number> = {};
      for (const op of operators(model)) counts[op] = (counts[op] ?? 0) + 1;
      expect(counts).toEqual(expected.operators);
    });
  });
}
