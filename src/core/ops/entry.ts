/** The facets of an operator definition. A facet that does not apply is a `Miss` with a reason. */
import type { Attribute, Container, Dense, Dim, Emit, Miss, Node, Tensor, Value, ValueType } from "#graph";

/** The type, the dimensions and the content of one input or output, as far as they are known before the run. */
export interface Operand extends ValueType {
  /** The container type (sequence, optional, map) of a value that is not a tensor. `type` is the innermost type. */
  readonly container?: Container;
  /** Known elements of a small tensor, possibly symbolic. They carry shapes through Shape → Gather → Concat → Reshape. */
  readonly elements?: readonly Dim[];
  /** The values of a small stored tensor. */
  readonly small?: Dense;
  /** Whether all elements come from stored tensors, possibly through other nodes (a mask, a DequantizeLinear). */
  readonly stored: boolean;
}

/** The information about the node that a definition is applied to (ONNX: InferenceContext). */
export interface Site {
  readonly version: number;
  readonly inputs: readonly (Operand | undefined)[];
  /** Includes trailing absent outputs. */
  readonly outputs: number;
  attribute(name: string): Attribute | undefined;
  /** Returns a symbol for a dimension that depends on the data. Equal arguments return the same symbol. */
  open(output: number, axis: number): Dim;
  body(attribute: string): Body | undefined;
}

/** A subgraph of a node, such as the body of a Loop. */
export interface Body {
  readonly inputs: readonly (ValueType | undefined)[];
  /** Infers the outputs of the subgraph from its inputs, without captured values. */
  infer(inputs: readonly (Inferred | undefined)[]): readonly (Inferred | undefined)[];
  /**
   * Returns the types and dimensions that loop-carried values have in every iteration.
   * @param start The loop-carried values before the loop.
   * @param turn Infers one iteration: the new loop-carried values, followed by the other outputs of the loop body.
   * @param open Returns a symbol for a dimension that differs between iterations.
   */
  inferFixedPoint(
    start: readonly Inferred[],
    turn: (states: readonly Inferred[]) => readonly (Inferred | undefined)[],
    open: (state: number, axis: number) => Dim,
  ): FixedPoint | Miss;
  /** Returns the multiply-accumulates of one run of the subgraph, based on the last `infer`. */
  macs(): Dim | Miss;
}

export interface FixedPoint {
  readonly states: readonly Inferred[];
  readonly others: readonly (Inferred | undefined)[];
}

/** `stored` follows from the inputs. */
export type Inferred = Omit<Operand, "stored">;

/** The first input of a node in a verified model is present. */
export type Inputs = readonly [Value, ...(Value | undefined)[]];

/** The arguments with which a definition writes the gradients of inputs. */
export interface GradientScope {
  readonly emit: Emit;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  /** dLoss/dOutput; undefined for an output that the loss does not depend on. */
  readonly upstream: readonly (Value | undefined)[];
  wanted(input: number): boolean;
  /** Removes and returns the sum of dLoss/dInput so far, for a definition that adds to it at no cost (Gemm). */
  take(input: number): Contribution | undefined;
  /** Channels per block, if ONNX Runtime's convolutions on blocked channels are available. */
  readonly channelBlock?: number | undefined;
}

export interface Derivation extends GradientScope {
  readonly inputs: Inputs;
  /** Output 0. */
  readonly y: Value;
  /** dLoss/dy. */
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
 * How indices along one axis relate to indices along another axis.
 * - `{ from, to }`: index i of `from` corresponds to index i of `to`, or to all indices `map(i)`. If all of `map(i)` are removed, so is i.
 * - `{ absorbs }`: the axis is summed over, so a channel of zeros changes nothing. An absorbed axis can also be linked.
 * - `{ refuses, reason }`: indices cannot be removed. With `statistics`, the only reason is that a mean or variance would cover fewer
 *   indices; these correspond to the indices of `statistics.to`. With `element`, the refusal holds if a node reads this element of output 0. With `reads`, the node
 *   reads only these indices.
 * Indices of an axis without a link cannot be removed.
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
  /** The new value of each changed attribute; undefined removes the attribute. */
  readonly attributes?: Readonly<Record<string, Attribute | undefined>>;
  readonly inputs?: Readonly<Record<number, readonly number[]>>;
  /** The remaining part of stored inputs whose axes do not count channels, such as packed blocks. */
  readonly packed?: Readonly<Record<number, RemainingPart>>;
  /** Offsets to add to an integer input (a shape) that is partly known. */
  readonly shifts?: Readonly<Record<number, readonly number[]>>;
}

export interface RemainingPart {
  readonly dims: readonly number[];
  of(before: Dense): Dense;
}

/** A removal of channels, as one node sees it. */
export interface ChannelRemoval {
  dims(port: AxisEnd[0]): readonly Dim[];
  removed(end: AxisEnd): readonly number[];
}

export interface AxisRule {
  readonly links: readonly AxisLink[];
  /** Returns the changes of attributes and constants that repeat dimensions: Reshape, grouped Conv, Split. */
  readonly resize?: (removal: ChannelRemoval) => NodeChange;
}

/** The input with a layer's weight, and the weight's axes of output channels (`out`) and input channels per group (`in`). */
export interface WeightRole {
  /** "lookup": integers select rows of an embedding table; rows count as inputs, columns as outputs. */
  readonly kind?: "lookup";
  readonly input: number;
  readonly out: number;
  readonly in: number;
  readonly groups: number;
  readonly bias?: number;
  /** The input for a bias with one value per output channel, whether or not one is present. */
  readonly biasInput?: number;
  /** The input with the activations, and the channel axes of that input and of output 0. -1 is the last axis. */
  readonly data: number;
  readonly dataAxis: number;
  readonly outputAxis: number;
  /** The name of a step fused after the product. Factors applied after it cannot be folded into the weight. */
  readonly fused?: string;
  /** The factor of the product (`alpha` of Gemm); 1 by default. */
  readonly productFactor?: number;
  readonly packed?: PackedWeight;
  /** Axes that count independent matrices, such as the directions of a recurrent layer. */
  readonly stack?: readonly number[];
  /** Further weight axes that count outputs: a weight (512, 8, 64) has 8 heads (`out`) with 64 values each. */
  readonly outTaps?: readonly number[];
  /** Present if some outputs also sum padding zeros, so that a constant added to the data does not shift all outputs alike. */
  readonly readsZeros?: true;
  /** Distinguishes several weights of one node in the layer's name. */
  readonly part?: string;
  readonly window?: SlidingWindow;
  readonly chain?: Chain;
}

/** The axes of the weight along which a window slides, the strides, and the name of the attribute that counts groups. */
export interface SlidingWindow {
  readonly axes: readonly number[];
  readonly strides: readonly number[];
  readonly groups: string;
}

/** A weight stored in packed blocks. `out` and `in` of its `WeightRole` are axes of the unpacked `matrix`. */
export interface PackedWeight {
  readonly outputs: number;
  readonly inputs: number;
  readonly bits: number;
  matrix(emit: Emit, inputs: readonly (Value | undefined)[]): Value | Miss;
}

/** One layer of a chain. `name` is the prefix of the output's name. */
export interface ChainPart {
  readonly name: string;
  /** In the layout of the original weight, with size 1 along other window axes than `window`. */
  readonly weight: Value;
  /** The window axes, counted from 0, along which this part slides like the original. */
  readonly window?: readonly number[];
}

/** Writes a chain of layers instead of one. Scale factors and bias apply to the last part. */
export type Chain = (emit: Emit, inputs: readonly (Value | undefined)[], parts: readonly ChainPart[]) => Value;

/** y = scale · x + shift with a stored scale and shift per index of an axis, as in batch normalization or a product with a vector. */
export interface Affine {
  readonly kind: "normalization" | "arithmetic";
  readonly dataInput: number;
  /** The axis of x and y along which scale and shift vary; undefined for scalars. */
  readonly axis: number | undefined;
  readonly inputs: readonly number[];
  of(vectors: readonly Float64Array[]): { readonly scale: Float64Array; readonly shift: Float64Array };
  /** The inputs with the running mean and variance by which x is normalized. */
  readonly statistics?: { readonly mean: number; readonly variance: number };
}

/**
 * The products of inputs that an operator adds up, as lists of input indices. If every product is scaled by s > 0, the output is scaled by s.
 * Examples: Relu [[0]], Conv [[0, 1], [2]], batch normalization (x - mean) · scale + bias [[0, 1], [3, 1], [2]].
 */
export interface Homogeneity {
  readonly products: readonly (readonly number[])[];
  /** Links along which s can differ although channels cannot be removed. */
  readonly links?: readonly Extract<AxisLink, { readonly from: AxisEnd }>[];
}

/** How a node computes in training, if training differs from inference. */
export interface TrainingForm {
  /** Stored inputs of the role `state`. Each step passes their new values to the next step. */
  readonly states: readonly number[];
  /** Whether an attribute or constant input selects this form, independent of roles. */
  readonly declared: boolean;
  /** Writes the training outputs and the next values of the states. `draw` returns an odd random number below 2³¹. */
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
      /** The factor of the bias (beta of Gemm). Without it, the bias stays float. */
      readonly biasFactor?: number;
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
      /** Whether the integer form needs the 2-D weight as inputs × outputs. */
      readonly integerTransposed: boolean;
      /** Whether ONNX Runtime has an integer kernel with a float output. */
      readonly floatResult?: true;
    }
  /** Values are moved or selected, so output and input share scale and zero point. */
  | {
      readonly kind: "transparent";
      /** Writes the operator on a quantized input 0, if ONNX Runtime does not fuse it. */
      readonly onCodes?: (emit: Emit, inputs: Inputs, zeroPoint: Value) => Value;
    }
  /** Limits values to an interval that contains 0. A quantized range with these bounds has the same effect. */
  | {
      readonly kind: "clamp";
      readonly low: number | undefined;
      readonly high: number | undefined;
      /** Whether channels also have separate bounds. */
      readonly eachChannel?: true;
    }
  /** An activation function with quantized inputs and output. */
  | {
      readonly kind: "activation";
      readonly inputs: readonly number[];
      /** The output contains the values of all inputs (Concat), quantized with one scale. */
      readonly joins?: true;
      /** The minimum ratio of output scale to first input scale in ONNX Runtime's kernel. */
      readonly finest?: number;
    };

export type Facet<F> = F | Miss;

export interface InputRange {
  readonly input: number;
  readonly low: Dim;
  readonly high: Dim;
  /** Whether values outside the interval are an error instead of unlikely. */
  readonly strict: boolean;
}

export type ValueInterval = Omit<InputRange, "input">;

/** Input indices of quantized values, their scale and their zero point: (value - zero point) · scale. */
export interface CodedInput {
  readonly input: number;
  /** Absent if a later node applies the scale. */
  readonly scale?: number;
  readonly zeroPoint: number;
}

export interface Traits {
  /** The input whose element type the outputs have. */
  readonly sameType?: number;
  /** Returns the types and ranks that the operator requires of inputs. */
  readonly mustBe?: (site: Site) => readonly { readonly input: number; readonly type: ValueType }[];
  /** Whether the operator accepts sequences, optionals and maps. */
  readonly containers?: true | undefined;
  /** Returns the kind of the attribute "seed" if the operator draws random values. */
  readonly seedKind?: (inputs: readonly (Tensor | "computed" | undefined)[]) => "float" | "int" | undefined;
  /** Returns the tensor that an attribute stores and that output 0 equals. */
  readonly holds?: (attribute: Site["attribute"]) => Tensor | undefined;
  readonly codes?: readonly CodedInput[];
  /** Whether the order of elements does not matter. */
  readonly byElement?: true;
  readonly commutes?: boolean;
  /** Whether a difference in the last bits of an input can change the output by a whole step. */
  readonly inSteps?: true | undefined;
  /** The input of which only the element type matters. */
  readonly typeOnly?: number;
  /** The input with the padding of each axis. ONNX Runtime can fuse this operator into a convolution or pool that reads output 0. */
  readonly padding?: number;
  /** An attribute that changed in opset `since`: `values` maps old to new values, `absent` is the previous default. */
  readonly renamed?: {
    readonly since: number;
    readonly attribute: string;
    readonly values?: Readonly<Record<string, string>>;
    readonly absent?: string;
  };
  /** Returns the maximum padding per spatial axis (starts, then ends). Others are rejected (quirk "padding-of-pool"). */
  readonly maxPadding?: (site: Site) => readonly number[] | undefined;
  /** Returns why the node must compute in float32 in a float16 model. */
  readonly needsFloat32?: ((node: Node) => string | undefined) | undefined;
  /** The attribute that makes results in float16 subgraphs wrong (quirk "level-in-branch"). */
  readonly wrongInHalfInside?: string;
  /** Attributes that apply if a node omits them, if they determine types or values. */
  readonly defaults?: Readonly<Record<string, Attribute>>;
  /** Whether the operator's gradient is faster than that of its primitives. */
  readonly differentiatedWhole?: true;
}

/** States that the values of output 0, or their exponentials (logarithms), sum to one. */
export interface Distribution {
  readonly form: "probabilities" | "logarithms";
  /** The axes over which the sum is taken; undefined if unknown. */
  readonly axes: readonly number[] | undefined;
}

/** An operator definition. `S` is the type of the settings `s`: attributes and constant inputs. */
export interface OpDef<S> extends Traits {
  readonly name: string;
  /** The default, "", is ai.onnx. */
  readonly domain?: string;
  read?: (site: Site) => S | Miss;
  /** Infers type, dimensions and known elements of each output; undefined for an unknown type. */
  infer(s: S, site: Site): readonly (Inferred | undefined)[] | Miss;
  /** Returns the input that output 0 equals in elements, type and dimensions, as for a Reshape to the same shape. */
  readonly unchanged?: ((s: S, site: Site) => number | undefined) | undefined;
  /** Returns the stored scale and shift that the operator applies to an input. */
  readonly affine?: (s: S, site: Site) => Affine | Miss;
  /** States how positive factors pass through the operator. */
  readonly homogeneous?: readonly (readonly number[])[] | ((s: S, site: Site) => Homogeneity | undefined) | undefined;
  /** Returns how the node computes in training, if that differs. */
  readonly training?: (s: S, site: Site) => TrainingForm | undefined;
  /** Writes the outputs with ONNX Runtime's operators on blocks of `block` channels; undefined if that is not faster. */
  readonly inChannelBlocks?:
    | ((s: S, emit: Emit, inputs: readonly (Value | undefined)[], block: number) => readonly Value[] | undefined)
    | undefined;
  /** Describes the distribution that output 0 is for any input. */
  readonly distribution?: (s: S, site: Site) => Distribution | undefined;
  /** The asymptotes of output 0, such as 0 and 1 for a Sigmoid. Rounding errors scale with this interval. */
  readonly saturates?: readonly [low: number, high: number] | undefined;
  /** The inputs that contain trained values if they are stored. */
  readonly parameters?: readonly number[] | ((s: S, site: Site) => readonly number[]) | undefined;
  /** Returns the inputs that are initialized with 1 (scales, running variances) instead of 0. */
  readonly scales?: (s: S, site: Site) => readonly number[];
  /** Returns the value ranges that inputs need (indices, bounds). `output`: those that readers of output 0 need. */
  readonly wants?: ((s: S, site: Site, output: readonly ValueInterval[]) => readonly InputRange[]) | undefined;
  readonly weight?: Facet<(s: S, site: Site) => WeightRole | readonly WeightRole[] | Miss> | undefined;
  /** Returns the links between axes, as a list or with `resize`. `dims` are those of input 0. */
  readonly axes: Facet<(s: S, site: Site, dims: readonly Dim[]) => AxisRule | readonly AxisLink[] | Miss>;
  /** Writes a fused operator as primitives, one value per output. */
  readonly lower?: Facet<(s: S, emit: Emit, inputs: Inputs) => readonly Value[] | Miss>;
  /** Returns dLoss/dInput for each wanted input. The caller sums over broadcast axes. */
  readonly gradient?: Facet<(s: S, g: Derivation) => readonly (Value | undefined)[] | Miss>;
  readonly cost?: Facet<(s: S, site: Site) => Dim | Miss> | undefined;
  readonly quantize?: Facet<(s: S, site: Site) => QuantizeRule | Miss> | undefined;
}
