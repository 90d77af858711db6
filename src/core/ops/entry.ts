/**
 * The facets of an operator definition. Shape inference, gradients, channel links, costs and quantization query facets and never check an
 * operator's name. A facet that does not apply is a `Miss` with a reason. `Complete` (`define.ts`) lists the facets that every operator must define.
 */
import type { Attribute, Container, Dense, Dim, Emit, Miss, Node, Tensor, Value, ValueType } from "#graph";

/** The type, the dimensions and the content of one input or output of a node, as far as they are known before the run. */
export interface Operand extends ValueType {
  /** The container type (sequence, optional, map) of a value that is not a tensor, for operators with `containers`. `type` is the innermost type. */
  readonly container?: Container;
  /** Known elements of a small tensor, possibly symbolic. They carry shapes through Shape → Gather → Concat → Reshape. */
  readonly elements?: readonly Dim[];
  /** The values of a small stored tensor. Absent for large tensors and for values computed at run time. */
  readonly small?: Dense;
  /** Whether all elements come from stored tensors (weights, constants), possibly through other nodes (a mask, a DequantizeLinear). */
  readonly stored: boolean;
}

/** The information that a definition gets about the node that it is applied to (ONNX: InferenceContext): opset version, inputs and attributes. */
export interface Site {
  readonly version: number;
  readonly inputs: readonly (Operand | undefined)[];
  /** The number of outputs, including trailing absent ones. */
  readonly outputs: number;
  attribute(name: string): Attribute | undefined;
  /** Returns a symbol for a dimension that depends on the data, such as the number of nonzeros. Equal arguments return the same symbol. */
  open(output: number, axis: number): Dim;
  body(attribute: string): Body | undefined;
}

/** A subgraph of a node, such as the body of a Loop. */
export interface Body {
  readonly inputs: readonly (ValueType | undefined)[];
  /** Infers the outputs of the subgraph from its inputs. Values captured from the outer graph are known already and are not passed. */
  infer(inputs: readonly (Inferred | undefined)[]): readonly (Inferred | undefined)[];
  /**
   * Returns the types and dimensions that loop-carried values have in every iteration.
   * @param start The loop-carried values before the loop.
   * @param turn Infers one iteration: returns the new loop-carried values, followed by the other outputs of the loop body.
   * @param open Returns a symbol for a dimension that differs between iterations.
   */
  inferFixedPoint(
    start: readonly Inferred[],
    turn: (states: readonly Inferred[]) => readonly (Inferred | undefined)[],
    open: (state: number, axis: number) => Dim,
  ): FixedPoint | Miss;
  /** Returns the multiply-accumulates of one run of the subgraph, based on the last `infer`. Returns a Miss if the count of a node is unknown. */
  macs(): Dim | Miss;
}

/** The types and dimensions that the values of a loop body have in every iteration (`Body.inferFixedPoint`). */
export interface FixedPoint {
  /** Loop-carried values. */
  readonly states: readonly Inferred[];
  /** The other outputs of the loop body. */
  readonly others: readonly (Inferred | undefined)[];
}

/** The type, dimensions and content that a definition infers for an output. `stored` is absent because it follows from the inputs. */
export type Inferred = Omit<Operand, "stored">;

/** The inputs of a node. The first input is always present in a verified model. */
export type Inputs = readonly [Value, ...(Value | undefined)[]];

/** The arguments that backpropagation passes to the definition of a node, which then writes the gradients of the inputs. */
export interface GradientScope {
  readonly emit: Emit;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** dLoss/dOutput for each output. It is undefined for an output that the loss does not depend on. */
  readonly upstream: readonly (Value | undefined)[];
  /** Returns whether dLoss/dInput is needed. */
  wanted(input: number): boolean;
  /** Removes and returns the sum of dLoss/dInput so far, for a definition that adds to it at no cost (Gemm) and returns the total. */
  take(input: number): Contribution | undefined;
  /** The number of channels per block, if ONNX Runtime's convolutions on blocked channels are available. */
  readonly channelBlock?: number | undefined;
}

export interface Derivation extends GradientScope {
  readonly inputs: Inputs;
  /** Output 0. */
  readonly y: Value;
  /** dLoss/dy. If the loss does not depend on y, these are zeros. */
  readonly up: Value;
}

/** A summand of a gradient: factor · value. */
export interface Contribution {
  readonly value: Value;
  readonly factor: number;
}

/** One end of a link: an input or output of the node and an axis of its tensor. */
export type AxisEnd = readonly [port: `in${number}` | `out${number}`, axis: number];

/**
 * How indices along one axis relate to indices along another axis. Links determine which indices must be removed together when channels are removed.
 * - `{ from, to }`: index i of `from` corresponds to index i of `to`, or to all indices `map(i)`. If all of `map(i)` are removed, so is i.
 * - `{ absorbs }`: the axis is summed over, so a channel of zeros changes nothing. An absorbed axis can also be linked.
 * - `{ refuses, reason }`: indices cannot be removed, because the result would change. `statistics` marks a change that only comes from a mean or
 *   variance over fewer indices; these correspond to the indices of `statistics.to`. With `element`, the refusal holds if a node reads this element of
 *   output 0. With `reads`, the node reads only these indices.
 * Indices of an axis without a link cannot be removed. Links of absent inputs and outputs are ignored.
 */
export type AxisLink =
  | { readonly from: AxisEnd; readonly to: AxisEnd; readonly map?: (index: number) => readonly number[] }
  | { readonly absorbs: AxisEnd }
  | {
      readonly refuses: AxisEnd;
      readonly reason: string;
      readonly statistics?: { readonly to?: AxisEnd };
      readonly element?: number;
      readonly reads?: readonly number[] | undefined;
    };

/** The attributes or small constant inputs of a node that must change with the dimensions of its operands. */
export interface NodeChange {
  /** The new value of each changed attribute. The value undefined removes the attribute. */
  readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
  readonly inputs?: Readonly<Record<number, readonly number[]>>;
  /** The remaining part of each stored input whose axes do not count channels, such as packed blocks. */
  readonly packed?: Readonly<Record<number, RemainingPart>>;
  /** Offsets to add to an integer input (a shape) that is assembled at run time and only partly known. */
  readonly shifts?: Readonly<Record<number, readonly number[]>>;
}

/** The part of a stored tensor that remains after the removal of channels. */
export interface RemainingPart {
  readonly dims: readonly number[];
  of(before: Dense): Dense;
}

/** A removal of channels, as one node sees it: the new dimensions of its operands, and the removed indices. */
export interface ChannelCut {
  dims(port: AxisEnd[0]): readonly Dim[];
  removed(end: AxisEnd): readonly number[];
}

export interface AxisRule {
  readonly links: readonly AxisLink[];
  /** Returns the changes of attributes and constants that repeat dimensions, after the removal of channels: Reshape, grouped Conv, Split. */
  readonly resize?: (cut: ChannelCut) => NodeChange;
}

/** The input that contains a layer's weight, and the weight's axes of output channels (`out`) and input channels per group (`in`). */
export interface WeightRole {
  /** "lookup": integers select rows of an embedding table; rows count as inputs, columns as outputs. Absent for a weight that is multiplied. */
  readonly kind?: "lookup";
  readonly input: number;
  readonly out: number;
  readonly in: number;
  readonly groups: number;
  readonly bias?: number;
  /** The input that accepts a bias with one value per output channel, whether or not a bias is present. */
  readonly biasInput?: number;
  /** The input with the activations, and the channel axes of that input and of output 0. -1 is the last axis, for unknown ranks. */
  readonly data: number;
  readonly dataAxis: number;
  readonly outputAxis: number;
  /** The name of a step fused after the product (activation, sum). Factors applied after such a step cannot be folded into the weight. */
  readonly fused?: string;
  /** The factor by which the operator multiplies the product (`alpha` of Gemm); 1 by default. */
  readonly productFactor?: number;
  readonly packed?: PackedWeight;
  /** Axes that count independent matrices: the directions of a recurrent layer, or the batch axes of a product. */
  readonly stack?: readonly number[];
  /**
   * Further weight axes that count outputs, in the order in which output 0 has them after `outputAxis`. Example: a weight (512, 8, 64) has 8 heads
   * (`out`) with 64 values each (`outTaps`). Axes that no field names count taps: several values for each pair of input and output.
   */
  readonly outTaps?: readonly number[];
  /** Present if some outputs also sum padding zeros. A constant added to the data then does not add the same constant to all outputs. */
  readonly readsZeros?: true;
  /** Distinguishes several weights of one node in the layer's name, such as "recurrence". */
  readonly part?: string;
  readonly window?: SlidingWindow;
  /** Replaces the layer by a chain of layers, such as the factors of its weight. */
  readonly chain?: Chain;
}

/** The axes of the weight along which a window slides, the strides, and the name of the attribute that counts groups. */
export interface SlidingWindow {
  readonly axes: readonly number[];
  readonly strides: readonly number[];
  readonly groups: string;
}

/** A weight stored in packed blocks: its channels and the bits per value. `out` and `in` are the axes of the matrix. */
export interface PackedWeight {
  readonly outputs: number;
  readonly inputs: number;
  readonly bits: number;
  /** Writes the float matrix from the node's inputs. */
  matrix(emit: Emit, inputs: readonly (Value | undefined)[]): Value | Miss;
}

/** One layer of a chain, with the operator and the groups of the original layer. `name` is the prefix of the output's name. */
export interface ChainPart {
  readonly name: string;
  /** A weight in the layout of the original one, with size 1 along the window axes that `window` does not list. */
  readonly weight: Value;
  /** The window axes, counted from 0, along which this part has the original kernel, strides, padding and dilations. Default: none. */
  readonly window?: readonly number[];
}

/** Writes a chain of layers instead of one. The transposition of the data applies to the first part, its scale factors and bias to the last. */
export type Chain = (emit: Emit, inputs: readonly (Value | undefined)[], parts: readonly ChainPart[]) => Value;

/** y = scale · x + shift with a stored scale and shift per index of an axis, as in batch normalization or a product with a vector. */
export interface Affine {
  readonly kind: "normalization" | "arithmetic";
  readonly data: number;
  /** The axis of x and y along which scale and shift vary. It is undefined if scale and shift are scalars. */
  readonly axis: number | undefined;
  readonly inputs: readonly number[];
  /** Computes scale and shift from the elements of `inputs`. Both have one value per index of the axis, or a single value without an axis. */
  of(vectors: readonly Float64Array[]): { readonly scale: Float64Array; readonly shift: Float64Array };
  /** The inputs that hold the running mean and variance by which x is normalized. */
  readonly statistics?: { readonly mean: number; readonly variance: number };
}

/**
 * The products of inputs that an operator adds up, as lists of input indices. If every product is scaled by s > 0, the output is scaled by s.
 * Examples: Relu [[0]], Conv [[0, 1], [2]], batch normalization (x - mean) · scale + bias [[0, 1], [3, 1], [2]]. Inputs in no product must not be
 * scaled. The axis links state along which axes s can differ.
 */
export interface Homogeneity {
  readonly products: readonly (readonly number[])[];
  /** Links along which s can differ although channels cannot be removed, such as the scale of a layer normalization along the normalized axis. */
  readonly links?: readonly Extract<AxisLink, { readonly from: AxisEnd }>[];
}

/** How a node computes in training, if training differs from inference. */
export interface TrainingForm {
  /** Stored inputs of the role `state`. Each step passes their new values to the next step, or they only mark that the node is in training. */
  readonly states: readonly number[];
  /** Whether an attribute or constant input selects this form, independent of roles. False for a Dropout with a fixed seed. */
  readonly declared: boolean;
  /** Writes the training outputs and the next values of the states. `draw` returns an odd random number below 2³¹, another in each step. */
  write(
    emit: Emit,
    inputs: readonly (Value | undefined)[],
    draw: () => Value,
  ): { readonly outputs: readonly Value[]; readonly next: ReadonlyMap<number, Value> } | Miss;
  /** Writes the inference outputs of a node that declares training mode. */
  readonly inference:
    | ((emit: Emit, inputs: readonly (Value | undefined)[]) => readonly (Value | undefined)[])
    | undefined;
}

export type QuantizeRule =
  /** A layer: data, weight and output are quantized; the bias becomes int32. */
  | {
      readonly kind: "weighted";
      readonly weight: WeightRole;
      /** The bias is multiplied by this factor (beta of Gemm), then quantized with data scale × weight scale. Without the factor, it stays float. */
      readonly biasFactor?: number;
      /** The attribute that holds `biasFactor`; its default is 1. */
      readonly biasAttribute?: string;
      /** Writes the integer operator, without bias: (x: uint8, weight: int8 or uint8) → int32. */
      readonly integer: (
        emit: Emit,
        operands: {
          readonly x: Value;
          readonly weight: Value;
          readonly xZeroPoint: Value;
          readonly weightZeroPoint?: Value;
        },
      ) => Value;
      /** Returns the dimensions in which a vector of one value per output channel broadcasts to the output. */
      readonly channelDims: (channels: number) => readonly number[];
      /** Whether the 2-D weight must be transposed to inputs × outputs for the integer form. */
      readonly integerTransposed: boolean;
      /** Whether ONNX Runtime has an integer kernel with a float output. */
      readonly floatResult?: true;
    }
  /** Values are only moved or selected, so output and input share scale and zero point. */
  | {
      readonly kind: "transparent";
      /** Writes the operator on a quantized input 0, if ONNX Runtime does not fuse it with DequantizeLinear and QuantizeLinear. */
      readonly onCodes?: (emit: Emit, inputs: Inputs, zeroPoint: Value) => Value;
    }
  /** Limits values to an interval that contains 0; an undefined bound is infinite. A quantized range with these bounds has the same effect. */
  | {
      readonly kind: "clamp";
      readonly low: number | undefined;
      readonly high: number | undefined;
      /** Whether each channel also has separate bounds, which apply before these. */
      readonly eachChannel?: true;
    }
  /** An activation function with quantized inputs and output. */
  | {
      readonly kind: "activation";
      readonly inputs: readonly number[];
      /** The output contains the values of all inputs (Concat), quantized with one scale. */
      readonly joins?: true;
      /** The minimum ratio of output scale to first input scale that ONNX Runtime's kernel supports. */
      readonly finest?: number;
    };

/** A function, or the reason why the operator does not have it. */
export type Facet<F> = F | Miss;

/** The closed interval of values that an input needs for the node to run or to be meaningful. */
export interface InputRange {
  readonly input: number;
  readonly low: Dim;
  readonly high: Dim;
  /** Whether values outside the interval are an error. False if they are only unlikely. */
  readonly strict: boolean;
}

export type ValueInterval = Omit<InputRange, "input">;

/** The input indices of quantized values, of their scale and of their zero point. The values represent (value - zero point) · scale. */
export interface CodedInput {
  readonly input: number;
  /** Absent if a later node applies the scale. */
  readonly scale?: number;
  readonly zeroPoint: number;
}

/** Properties that are known without reading a node's settings. */
export interface Traits {
  /** The input whose element type all outputs have, even if their dimensions are unknown. */
  readonly sameType?: number;
  /** Returns the types and ranks that the operator requires of inputs whose types are not fully known. */
  readonly mustBe?: (site: Site) => readonly { readonly input: number; readonly type: ValueType }[];
  /** Whether the operator accepts sequences, optionals and maps. Other operators accept only tensors. */
  readonly containers?: true | undefined;
  /** Returns the kind of the attribute "seed" if the operator draws random values. It can depend on which inputs are present or stored. */
  readonly random?: (inputs: readonly (Tensor | "computed" | undefined)[]) => "float" | "int" | undefined;
  /** Returns the tensor that an attribute stores and that output 0 equals, such as a weight in a Constant. */
  readonly holds?: (attribute: Site["attribute"]) => Tensor | undefined;
  readonly codes?: readonly CodedInput[];
  /** Whether the operator computes element by element, so that the order of elements does not matter. */
  readonly byElement?: true;
  readonly commutes?: boolean;
  /** Whether the operator is a step function: a difference in the last bits of an input can change the output by a whole step. */
  readonly inSteps?: true | undefined;
  /** The input of which only the element type matters. */
  readonly typeOnly?: number;
  /** The input with the padding of each axis (starts, then ends). ONNX Runtime fuses stored padding into a convolution or pool that reads output 0. */
  readonly padding?: number;
  /** An attribute that changed in opset `since`: `values` maps old to new names of its values, `absent` is the default before `since`. */
  readonly renamed?: {
    readonly since: number;
    readonly attribute: string;
    readonly values?: Readonly<Record<string, string>>;
    readonly absent?: string;
  };
  /** Returns the maximum padding to add per spatial axis (starts, then ends). ONNX Runtime rejects pools with more (quirk "padding-of-pool"). */
  readonly maxPadding?: (site: Site) => readonly number[] | undefined;
  /** Returns the reason why the node must compute in float32 in a float16 model; undefined if float16 works. */
  readonly needsFloat32?: ((node: Node) => string | undefined) | undefined;
  /** The attribute that makes ONNX Runtime compute wrong results in float16 subgraphs (quirk "level-in-branch"). */
  readonly wrongInHalfInside?: string;
  /** Attributes that apply if a node omits them, and that determine types or values. */
  readonly defaults?: Readonly<Record<string, Attribute>>;
  /** Whether the operator's gradient is faster than that of its primitives. Such an operator is not lowered before differentiation. */
  readonly differentiatedWhole?: true;
}

/** States that the values of output 0 (probabilities), or their exponentials (logarithms), sum to one. */
export interface Distribution {
  readonly form: "probabilities" | "logarithms";
  /** The axes over which the sum is taken. It is undefined if they are unknown. */
  readonly axes: readonly number[] | undefined;
}

/** An operator definition. `S` is the type of the settings `s`: attributes and constant inputs, read once and independent of the opset. */
export interface OpDef<S> extends Traits {
  readonly name: string;
  /** The default, "", is ai.onnx. */
  readonly domain?: string;
  /** Reads the settings. Omitted if there is nothing to read; S is then null. */
  read?: (site: Site) => S | Miss;
  /** Infers each output: type, dimensions, known elements. Returns undefined for an output of unknown type. */
  infer(s: S, site: Site): readonly (Inferred | undefined)[] | Miss;
  /** Returns the input that output 0 always equals in elements, type and dimensions, as for a Reshape to the same shape; undefined without one. */
  readonly unchanged?: ((s: S, site: Site) => number | undefined) | undefined;
  /** Returns the stored scale and shift that the operator applies to an input. The preceding layer can absorb them. */
  readonly affine?: (s: S, site: Site) => Affine | Miss;
  /** States how positive factors pass through the operator; omitted if they cannot. A list of products suffices if no extra links are needed. */
  readonly homogeneous?: readonly (readonly number[])[] | ((s: S, site: Site) => Homogeneity | undefined) | undefined;
  /** Returns the training form. Omitted if training and inference compute the same. */
  readonly training?: (s: S, site: Site) => TrainingForm | undefined;
  /** Writes the outputs with ONNX Runtime's operators on blocks of `block` channels, for fixed sizes. Returns undefined if that is not faster. */
  readonly inChannelBlocks?:
    | ((s: S, emit: Emit, inputs: readonly (Value | undefined)[], block: number) => readonly Value[] | undefined)
    | undefined;
  /** Describes the distribution that output 0 is for any input. Returns undefined if output 0 need not be a distribution. */
  readonly distribution?: (s: S, site: Site) => Distribution | undefined;
  /** The asymptotes of output 0, such as 0 and 1 for a Sigmoid. Rounding errors scale with this interval and can exceed tiny outputs. */
  readonly saturates?: readonly [low: number, high: number] | undefined;
  /** The inputs that contain trained values if they are stored. */
  readonly parameters?: readonly number[] | ((s: S, site: Site) => readonly number[]) | undefined;
  /** Returns the inputs that are initialized with 1 (scales, running variances). Other stored vectors are initialized with 0. */
  readonly scales?: (s: S, site: Site) => readonly number[];
  /** Returns the value ranges that inputs need (indices, bounds). `output`: those that readers of output 0 need. Omitted if any value is valid. */
  readonly wants?: ((s: S, site: Site, output: readonly ValueInterval[]) => readonly InputRange[]) | undefined;
  /** Returns the role of the weight, or several roles for an operator with several matrices. */
  readonly weight?: Facet<(s: S, site: Site) => WeightRole | readonly WeightRole[] | Miss> | undefined;
  /** Returns the links between axes, as a list or with `resize`. `dims` are those of input 0; while they are unknown, the facet is not called. */
  readonly axes: Facet<(s: S, site: Site, dims: readonly Dim[]) => AxisRule | readonly AxisLink[] | Miss>;
  /** Writes a fused operator as primitives, one value per output. `lower` and `gradient` can use opset 18, because callers upgrade the model first. */
  readonly lower?: Facet<(s: S, emit: Emit, inputs: Inputs) => readonly Value[] | Miss>;
  /** Returns dLoss/dInput for each wanted input. The caller sums over broadcast axes. Omitted if the operator is lowered first. */
  readonly gradient?: Facet<(s: S, g: Derivation) => readonly (Value | undefined)[] | Miss>;
  readonly cost?: Facet<(s: S, site: Site) => Dim | Miss> | undefined;
  /** Returns how the operator is quantized. Omitted if it has no quantized form. */
  readonly quantize?: Facet<(s: S, site: Site) => QuantizeRule | Miss> | undefined;
}
