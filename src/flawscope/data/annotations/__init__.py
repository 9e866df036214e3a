"""Annotated components of a product, whatever file they come in: LabelMe, COCO, or indexed PNG. No torch.

Readers find what files say of each picture (`reading`), pictures get it as `Sample.parts` (`attach`), and
`partition` makes of it a map in which every pixel belongs to one component at most.
"""
