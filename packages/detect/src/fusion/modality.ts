import { nn, type Tensor } from '@mezzo/torch';

/** The channels of one modality. [B, all channels, H, W] -> [B, channels, H, W], a view. */
export class Modality extends nn.Layer {
  readonly first: number;
  readonly channels: number;

  constructor(first: number, channels: number) {
    super();
    this.first = first;
    this.channels = channels;
  }

  override forward(images: Tensor): Tensor {
    return images.narrow(1, this.first, this.channels);
  }
}
