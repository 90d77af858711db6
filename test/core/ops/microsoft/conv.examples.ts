import { type Example, table } from "../define.examples.ts";

const kernel = (out: number, channels: number, size = 3): string =>
  `w: float32[${out}, ${channels}, ${size}, ${size}] = random(seed 1); b: float32[${out}] = random(seed 2);`;

export const microsoftConvExamples: readonly Example[] = [
  ...table()`
    FusedConv with Relu |
      (x: float32[batch, 3, 5, 5]) ${kernel(4, 3)} y = com.microsoft.FusedConv(x, w, b) {activation="Relu", pads=[1, 1, 1, 1]}
    FusedConv with a sum before Relu |
      (x: float32[batch, 3, 4, 4], z: float32[batch, 4, 2, 2]) ${kernel(4, 3)} y = com.microsoft.FusedConv(x, w, b, z)
      {activation="Relu", strides=[2, 2], pads=[1, 1, 0, 0]}
    FusedConv depthwise with Clip |
      (x: float32[batch, 4, 5, 5]) ${kernel(4, 1)} y = com.microsoft.FusedConv(x, w, b)
      {activation="Clip", activation_params=[0.0, 0.5], group=4, dilations=[2, 2]}
    FusedConv with LeakyRelu, without bias |
      (x: float32[batch, 3, 3, 3]) w: float32[2, 3, 1, 1] = random(seed 1); y = com.microsoft.FusedConv(x, w)
      {activation="LeakyRelu", activation_params=[0.2], kernel_shape=[1, 1]}
    FusedConv with HardSigmoid and padding as needed |
      (x: float32[2, 3, 5, 5]) ${kernel(4, 3)} y = com.microsoft.FusedConv(x, w, b)
      {activation="HardSigmoid", activation_params=[0.2, 0.5], auto_pad="SAME_UPPER"}
    FusedConv with a fed kernel |
      (x: float32[batch, 3, 4, 4], w: float32[2, 3, 3, 3]) y = com.microsoft.FusedConv(x, w) {activation="Relu"}
      | no weight: the kernel is an activation
  `,
];
