"""Components as instances: a Mask R-CNN, fine-tuned on few annotated pictures (SADSeM, section 3.1)."""
