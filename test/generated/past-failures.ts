/** The smallest networks that once broke a promise. */
import type { Description } from "./network.ts";

interface PastFailure {
  readonly promise: string;
  readonly network: Partial<Description> & Pick<Description, "steps">;
}

export const pastFailures: readonly PastFailure[] = [
  {
    promise: "simplify never grows the file",
    network: {
      start: "SequenceAt a piece, of a tensor that is cut in pieces of one size",
      steps: [{ block: "gemm", choices: [] }],
    },
  },
  {
    promise: "quantize static int8",
    network: {
      batch: 2,
      steps: [
        { block: "gemm", choices: [] },
        { block: "gemm", choices: [0, 0, 369, 0, 0, 0, 0, 217, 891] },
      ],
    },
  },
  {
    promise: "quantize weights {}",
    network: { start: "Relu of a batch", steps: [{ block: "positions", choices: [] }] },
  },
  {
    promise: 'quantize weights {"weights":"uint8"}',
    network: { start: "Hardmax of opset 7 over channels of one pixel", steps: [{ block: "gemm", choices: [] }] },
  },
  {
    promise: "quantize float16",
    network: { batch: 1, steps: [{ block: "scan", choices: [0, 183, 0, 388, 0, 311, 559] }] },
  },
  {
    promise: 'layers on integers, static {"perChannel":false}',
    network: {
      steps: [
        { block: "two layers of one matrix, stored twice", choices: [] },
        { block: "reshape by a stored shape", choices: [0, 588] },
        { block: "attention", choices: [0, 0, 0, 527] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "a training of one layer",
    network: {
      start: "GreaterOrEqual of stored shapes",
      steps: [
        { block: "two layers of one matrix, stored twice", choices: [] },
        { block: "answers that are no floats", choices: [15] },
      ],
    },
  },
  {
    promise: "a training behind masks",
    network: {
      steps: [
        { block: "gemm", choices: [] },
        { block: "batch normalization", choices: [55, 0, 0, 0, 0, 0, 0, 0, 0, 0, 599] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "prune channels, uniform",
    network: {
      steps: [
        { block: "gemm", choices: [] },
        { block: "answers that are no floats", choices: [0, 566] },
      ],
    },
  },
  {
    promise: 'quantize weights {"perChannel":false}',
    network: { start: "LSTM of which only the last state is used", steps: [{ block: "gemm", choices: [] }] },
  },
  {
    promise: "quantize dynamic",
    network: {
      steps: [
        { block: "embedding", choices: [0, 0, 0, 0, 0, 0, 0, 0, 294] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "a training, and once more",
    network: {
      steps: [
        { block: "gemm", choices: [] },
        { block: "batch normalization", choices: [0, 0, 0, 154, 0, 0, 0, 1, 0, 0, 0, 0, 595] },
      ],
    },
  },
  {
    promise: "distillation",
    network: {
      steps: [
        { block: "batch normalization", choices: [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 939] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "raise the operator set",
    network: { start: "DFT of opset 17, along another axis", steps: [{ block: "gemm", choices: [] }] },
  },
  {
    promise: "prune 0.5",
    network: {
      start: "Relu of a batch",
      steps: [
        { block: "attention", choices: [0, 0, 0, 0, 0, 1, 0, 683, 8, 0, 28, 0, 0, 479, 0, 28, 0, 491, 64] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "a training behind masks",
    network: {
      steps: [
        { block: "gemm", choices: [0, 0, 0, 0, 0, 1, 0, 895, 5] },
        { block: "gemm", choices: [0, 7] },
        { block: "batch normalization", choices: [0, 0, 0, 0, 431, 0, 0, 1, 0, 0, 0, 0, 875] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: 'factorize {"rank":1}',
    network: { start: "NonMaxSuppression of all boxes", steps: [{ block: "gemm", choices: [] }] },
  },
  { promise: "quantize float16", network: { start: "Conv of opset 1", steps: [{ block: "gemm", choices: [] }] } },
  {
    promise: "quantize static",
    network: {
      start: "BitCast of integers to floats",
      steps: [
        { block: "affine by stored numbers", choices: [0, 4, 0, 0, 0, 895] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "a training of one layer",
    network: {
      steps: [
        { block: "conv", choices: [0, 0, 0, 0, 0, 0, 0, 0, 0, 915, 0, 693, 0, 673, 0, 431, 148] },
        { block: "does nothing", choices: [] },
      ],
    },
  },
  {
    promise: "layers on integers, static {}",
    network: {
      steps: [
        { block: "gemm", choices: [] },
        { block: "two layers of one matrix, stored twice", choices: [0, 0, 25, 0, 747, 36, 203] },
      ],
    },
  },
  {
    promise: 'layers on integers, static {"perChannel":false}',
    network: {
      start: "Relu of a batch",
      steps: [
        { block: "batch normalization", choices: [0, 0, 0, 0, 0, 0, 1, 0, 3, 991] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "an input that is set",
    network: { oldest: true, start: "IsNaN of a batch", steps: [{ block: "gemm", choices: [] }] },
  },
  {
    promise: "quantize static of 16 bits computes what its weights give",
    network: { batch: 2, steps: [{ block: "gemm", choices: [63, 0, 0, 0, 0, 1, 0, 0, 0, 7] }] },
  },
  {
    promise: "round in float {}, then in integers",
    network: {
      steps: [
        { block: "embedding", choices: [22, 0, 0, 0, 88, 0, 0, 603, 0, 627] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "layers on integers, dynamic {}",
    network: {
      steps: [
        { block: "two layers of one matrix, stored twice", choices: [0, 0, 295, 0, 0, 303, 0, 49] },
        { block: "embedding", choices: [0, 0, 0, 0, 0, 0, 10, 0, 0, 315] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: 'quantize weights {"weights":"uint8"}',
    network: {
      batch: 1,
      start: "Attention with heads apart",
      steps: [
        { block: "two layers of one matrix, stored twice", choices: [0, 0, 79, 0, 595, 323, 0, 169] },
        { block: "gemm", choices: [] },
      ],
    },
  },
  {
    promise: "quantize static",
    network: {
      batch: 1,
      start: "Attention with heads apart",
      steps: [{ block: "two layers of one matrix, stored twice", choices: [0, 0, 133, 0, 103, 8, 0, 10] }],
    },
  },
  {
    promise: 'round in float {"learnScales":true}, then in integers',
    network: {
      steps: [
        { block: "gemm", choices: [] },
        { block: "gemm", choices: [0, 0, 220, 0, 699, 106, 0, 34] },
        { block: "gemm", choices: [0, 0, 0, 129, 359] },
      ],
    },
  },
  {
    promise: "quantize float16, computing in it",
    network: {
      steps: [
        { block: "gemm", choices: [] },
        { block: "batch normalization", choices: [0, 0, 0, 1, 0, 0, 0, 1, 594, 0, 6] },
        { block: "layer normalization", choices: [] },
      ],
    },
  },
];
