import { dimsText, int64 } from "#ir";
import { type Module, mismatch, requireCount, requireWidth, storeTensor } from "./module.ts";

/**
 * Looks up the row of a table for each integer: int64 […] → […, width]. The table "weight" is [count, width], as in PyTorch's `nn.Embedding`.
 * @throws PithError E_SHAPE_MISMATCH if x is not int64.
 * @example
 * const net = network({ words: embedding(6000, 64) }, { input: { input_ids: { type: "int64", dims: ["batch", "tokens"] } }, seed: 1 });
 */
export function embedding(count: number, width: number): Module {
  requireCount("embedding: count", count);
  requireCount("embedding: width", width);
  return (scope, x) => {
    const { emit, name, random } = scope;
    if (x.type?.type !== "int64") {
      const got = `${x.type?.type ?? "unknown"}${dimsText(x.type?.dims)}`;
      throw mismatch("embedding", name, "int64[…]", got, 'Declare the input so: { type: "int64", dims: … }.');
    }
    const weight = storeTensor(scope, "weight", [count, width], () => random.normal());
    return emit.named(`${name}.output`).Gather([weight, x], { axis: 0 });
  };
}

/**
 * Adds learned position vectors 0, 1, … to x [batch, tokens, width]. The table "weight" is [maxTokens, width], normally distributed.
 * @throws PithError E_SHAPE_MISMATCH if x is not of that width, or has more tokens.
 * @example
 * const body = sequential({ words: embedding(6000, 64), places: positionEmbedding(128, 64) });
 */
export function positionEmbedding(maxTokens: number, width: number): Module {
  requireCount("positionEmbedding: most", maxTokens);
  requireCount("positionEmbedding: width", width);
  return (scope, x) => {
    const { emit, name, random } = scope;
    const [, tokens] = requireWidth("positionEmbedding", scope, x, width, 3);
    if (x.type?.dims?.length !== 3 || (typeof tokens === "number" && tokens > maxTokens)) {
      const expected = `[batch, at most ${maxTokens} tokens, ${width}]`;
      const hint = "Truncate longer texts, or allow more tokens.";
      throw mismatch("positionEmbedding", name, expected, dimsText(x.type?.dims), hint);
    }
    const weight = storeTensor(scope, "weight", [maxTokens, width], () => random.normal());
    const count = emit.named(`${name}.tokens`).Shape([x], { start: 1, end: 2 });
    const rows = emit.named(`${name}.rows`).Slice([weight, emit.constant(int64([1], [0])), count]);
    return emit.named(`${name}.output`).Add([x, rows]);
  };
}
