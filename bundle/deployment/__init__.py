"""Programs that hand the bundle to other systems.

``python -m bundle.deployment.onnx_file`` writes the network as an ONNX file; ``federated`` is a site of a federation.
"""
