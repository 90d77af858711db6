import { type Example, table } from "./define.examples.ts";

const weights = (gates: number, directions: number, inputs: number, hidden: number): string =>
  `w: float32[${directions}, ${gates * hidden}, ${inputs}] = random(seed 1);
   r: float32[${directions}, ${gates * hidden}, ${hidden}] = random(seed 2);
   b: float32[${directions}, ${2 * gates * hidden}] = random(seed 3);`;
const zeros = (directions: number, batch: string, hidden: number, name: string): string =>
  `${name}: float32[${directions}, ${batch}, ${hidden}]`;

const layer = (call: string, gates: number) =>
  table(
    {},
    (settings = "", directions = "1") =>
      `(x: float32[3, batch, 2]) ${weights(gates, Number(directions), 2, 3)} y, last${call}(x, w, r, b) {hidden_size=3${settings}}`,
  );
const rnn = layer(" = RNN", 1);
const gru = layer(" = GRU", 3);
const lstm = layer(", cell = LSTM", 4);
const both = ', direction="bidirectional"';

export const recurrentExamples: readonly Example[] = [
  ...rnn`
    RNN forward
    RNN in both directions | ${both} | 2
    RNN with other activations | , direction="reverse", activations=["LeakyRelu"], activation_alpha=[0.2]
    RNN of opset 7 | opset 7
  `,
  ...table()`
    RNN without bias, of one step |
      (x: float32[1, batch, 2]) w: float32[1, 3, 2] = random(seed 1); r: float32[1, 3, 3] = random(seed 2); y = RNN(x, w, r)
      {hidden_size=3}
    GRU with lengths and first states |
      (x: float32[3, 3, 2], lengths: int32[3], ${zeros(2, "3", 2, "first")})
      ${weights(3, 2, 2, 2)} y, last = GRU(x, w, r, b, lengths, first) {hidden_size=2${both}} | feeds lengths: 3, 1, 2
    LSTM with lengths, first states and peepholes |
      (x: float32[3, 3, 2], lengths: int32[3], ${zeros(2, "3", 2, "first")}, ${zeros(2, "3", 2, "cell0")})
      ${weights(4, 2, 2, 2)} p: float32[2, 6] = random(seed 4); y, last, cell = LSTM(x, w, r, b, lengths, first, cell0, p)
      {hidden_size=2${both}} | feeds lengths: 3, 1, 2
    LSTM of which only the last state is used |
      (x: float32[2, batch, 2]) ${weights(4, 1, 2, 2)} _, last = LSTM(x, w, r, b) {hidden_size=2}
    LSTM over a number of steps that has a name |
      (x: float32[steps, batch, 2]) ${weights(4, 1, 2, 2)} y = LSTM(x, w, r, b) {hidden_size=2} | sizes steps: 3
    LSTM with weights that are activations |
      (x: float32[2, 1, 2], w: float32[1, 8, 2], r: float32[1, 8, 2]) y = LSTM(x, w, r) {hidden_size=2}
      | no weight: the weights are activations
  `,
  ...gru`
    GRU forward
    GRU in both directions | ${both} | 2
    GRU that resets after the product | , linear_before_reset=1${both} | 2
    GRU with other activations |
      , activations=["HardSigmoid", "Softsign"], activation_alpha=[0.3], activation_beta=[0.4]
    GRU with limited sums | , clip=0.5
  `,
  ...lstm`
    LSTM forward
    LSTM backward | , direction="reverse"
    LSTM in both directions | ${both} | 2
    LSTM with coupled gates | , input_forget=1
    LSTM of opset 7 | opset 7
  `,
  ...(["RNN", "GRU", "LSTM"] as const).flatMap(
    (name, index) => table()`
    ${name} with the batch first |
      (x: float32[batch, 3, 2]) ${weights([1, 3, 4][index] ?? 1, 2, 2, 3)} y: float32[batch, 3, 2, 3],
      last: float32[batch, 2, 3] = ${name}(x, w, r, b) {hidden_size=3, layout=1${both}}
      | except run: ONNX Runtime has no kernel for it on CPU
  `,
  ),
];
