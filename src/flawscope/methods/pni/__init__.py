"""PNI: which features are usual here, by the place and by what lies around.

Bae, Lee, Kim: PNI, Industrial Anomaly Detection using Position and Neighborhood Information. ICCV 2023.
Without its refinement network, which learns from defects drawn by hand.
"""
