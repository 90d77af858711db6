/** Types and helpers of losses (`losses/`): nodes that are added after the model's outputs. */
import { mainOutput } from "#analysis";
import { attentionMaskOf } from "#batches";
import type { Batch, Dense, Emit, Model, Value } from "#ir";
import { dataError, dimsText, elementCount, fixedDims, float32, modelError, PithError, shapeError } from "#ir";
import type { Context } from "#pass";

export interface NamedValues {
  readonly outputs: ReadonlyMap<string, Value>;
  /** @throws PithError E_NAME if there is no such value. */
  value(name: string): Value;
  network(): Model;
}

/** Values of the trained model and of other models. */
export interface LossScope extends NamedValues {
  readonly emit: Emit;
  /** The trained model with a fixed batch size. A loss can add inputs to its graph. */
  readonly model: Model;
  /** Adds another model, which is not trained, on the same samples; once per model. @throws PithError E_SHAPE_MISMATCH if they do not fit. */
  teacher(reference: Model): NamedValues;
  /** Logs decisions when the first graph of a training is built. */
  readonly log: Context["log"];
}

export interface Loss {
  readonly name: string;
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly teachers?: readonly Model[];
  /** Adds the loss to a model; one loss can be added to several models. */
  build(scope: LossScope): BuiltLoss | Promise<BuiltLoss>;
}

export interface BuiltLoss {
  /** A scalar that does not grow with the batch size, such as a mean over rows. */
  readonly value: Value;
  /** Returns the values of the inputs that the loss has added, for a batch. */
  feeds(batch: Batch): Batch;
}

export interface LossOptions {
  /** Output of the model (default: "logits", else the first float output). */
  readonly output?: string | undefined;
  /** The target: a column of the data (default: "label") or, except for cross-entropy, another output of the model. */
  readonly label?: string | undefined;
}

/** @param owner "model" or "teacher", for messages. */
export function namedValues(
  owner: string,
  outputs: ReadonlyMap<string, Value>,
  all: ReadonlyMap<string, Value>,
  network: () => Model,
): NamedValues {
  return {
    outputs,
    network,
    value(name) {
      const value = all.get(name);
      if (value !== undefined) return value;
      const similar = [...all.keys()].filter((other) => other.includes(name)).slice(0, 5);
      const hint = similar.length === 0 ? `Its outputs are ${[...outputs.keys()].join(", ")}.` : similar.join(", ");
      throw new PithError("E_NAME", `The ${owner} computes no value "${name}".`, { hint });
    },
  };
}

export function outputOf(scope: Pick<NamedValues, "outputs">, name?: string): Value {
  const output = mainOutput([...scope.outputs.values()], name);
  if (output !== undefined) return output;
  if (name === undefined) throw modelError("The model has no output to compute a loss from.");
  const names = [...scope.outputs.keys()].map((outputName) => `"${outputName}"`).join(", ");
  throw new PithError("E_NAME", `The loss reads the output "${name}"; the model has ${names}.`);
}

export interface Target {
  readonly value: Value;
  feeds(batch: Batch): Batch;
}

/** Returns another output, or a column of the data, in the shape of a value. @throws PithError E_DATA if the column has another size. */
export function targetLike(scope: LossScope, value: Value, label: string): Target {
  const dims = fixedDims(value.type?.dims);
  if (dims === undefined) throw shapeError(`"${value.name}" has no fixed shape: ${dimsText(value.type?.dims)}.`);
  const labelOutput = scope.outputs.get(label);
  if (labelOutput !== undefined) return { value: castToFloat32(scope.emit, labelOutput), feeds: () => ({}) };
  const input = scope.model.graph.addInput(scope.model.graph.freshName("target"), { type: "float32", dims });
  return { value: input, feeds: (batch) => ({ [input.name]: readColumn(batch, label, dims) }) };
}

function readColumn(batch: Batch, label: string, dims: readonly number[]): Dense {
  const target = requireColumn(batch, label);
  if (target.type === "string" || target.data.length !== elementCount(dims)) {
    const got = `${target.type}${dimsText(target.dims)}`;
    const areClasses = /^u?int/.test(target.type) && target.data.length === dims[0];
    throw dataError(
      `"${label}" is ${got}, expected the ${elementCount(dims)} numbers of ${dimsText(dims)}.`,
      areClasses ? { hint: "Labels are classes: use cross-entropy, or give one number for each output." } : {},
    );
  }
  return float32(dims, target.type === "float32" ? target.data : Float32Array.from(target.data, Number));
}

export function requireColumn(batch: Batch, label: string): Dense {
  const column = batch[label];
  if (column !== undefined) return column;
  const names = Object.keys(batch).map((columnName) => `"${columnName}"`);
  throw dataError(`The training samples have no "${label}".`, {
    hint: `Training needs labels; the columns are ${names.join(", ")}.`,
  });
}

/** The label of rows without a class (padding of a text), as in PyTorch. */
export const ignoredLabel = -100;

/** Adds an input [samples, tokens], 0 for padding and labels of −100. @param unit "token": a mask replaces labels. "prediction": both count. */
export function addTokenMask(
  { model }: Pick<LossScope, "model">,
  dims: readonly [samples: number, tokens: number],
  label: string,
  unit: "token" | "prediction",
): Target {
  const [samples, tokens] = dims;
  const value = model.graph.addInput(model.graph.freshName("counted"), { type: "float32", dims });
  return {
    value,
    feeds(batch) {
      const attention = attentionMaskOf(batch);
      const mask = attention?.dims[0] === samples && attention.dims[1] === tokens ? attention.data : undefined;
      const column = batch[label];
      const hasLabels = column !== undefined && /int/.test(column.type) && column.data.length === samples * tokens;
      const labels = hasLabels && (mask === undefined || unit === "prediction") ? column.data : undefined;
      const isSelected = (index: number): boolean =>
        (mask === undefined || Number(mask[index]) !== 0) &&
        (labels === undefined || Number(labels[index]) !== ignoredLabel);
      const counts = Float32Array.from({ length: samples * tokens }, (_, index) => Number(isSelected(index)));
      return { [value.name]: float32(dims, counts) };
    },
  };
}

/** All losses are computed in float32. */
export function castToFloat32(emit: Emit, value: Value): Value {
  // 1 is TensorProto.FLOAT.
  return value.type?.type === "float32" ? value : emit.Cast([value], { to: 1 });
}

/** Logits [batch, …, classes] become [rows, classes]. */
export function asRows(
  emit: Emit,
  logits: Value,
): { readonly rows: Value; readonly count: number; readonly classes: number } {
  const dims = fixedDims(logits.type?.dims);
  const classes = dims?.at(-1);
  if (dims === undefined || classes === undefined || dims.length < 2) {
    throw shapeError(`"${logits.name}" must be [batch, …, classes], got ${dimsText(logits.type?.dims)}.`, {
      hint: 'Export the model with a batch axis. If the output is one number per sample: `loss: "mse"`.',
    });
  }
  const count = elementCount(dims.slice(0, -1));
  const logitRows = dims.length === 2 ? logits : emit.Reshape([logits, [count, classes]]);
  return { rows: castToFloat32(emit, logitRows), count, classes };
}

export function scaledSum(emit: Emit, entries: Value, factor: number): Value {
  return emit.Mul([emit.ReduceSum([entries], { keepdims: 0 }), factor]);
}
