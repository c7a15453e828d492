"""Names of Go types that OpenAPI does not tell: those of texts, and of structs that stand inside others unnamed.

They appear in what the Go decoder says of a wrong type. Taken from the ``types.go`` of ``k8s.io/api`` and
``k8s.io/apiextensions-apiserver``, v0.36.3; a text that is not named here is a plain ``string``.
"""

from __future__ import annotations

from typing import Final

_TEXTS: Final = {
    "types.UID": (
        "UncountedTerminatedPods.failed UncountedTerminatedPods.succeeded DeviceRequestAllocationResult.shareID"
    ),
    "v1.AddressType": "EndpointSlice.addressType",
    "v1.AllocationConfigSource": "DeviceAllocationConfiguration.source",
    "v1.AppArmorProfileType": "AppArmorProfile.type",
    "v1.AzureDataDiskCachingMode": "AzureDiskVolumeSource.cachingMode",
    "v1.AzureDataDiskKind": "AzureDiskVolumeSource.kind",
    "v1.Capability": "Capabilities.add Capabilities.drop",
    "v1.CompletionMode": "JobSpec.completionMode",
    "v1.ConcurrencyPolicy": "CronJobSpec.concurrencyPolicy",
    "v1.ConditionStatus": "PodFailurePolicyOnPodConditionsPattern.status",
    "v1.ContainerRestartPolicy": "Container.restartPolicy",
    "v1.ContainerRestartRuleAction": "ContainerRestartRule.action",
    "v1.ContainerRestartRuleOnExitCodesOperator": "ContainerRestartRuleOnExitCodes.operator",
    "v1.ConversionStrategyType": "CustomResourceConversion.strategy",
    "v1.CoordinatedLeaseStrategy": "LeaseSpec.strategy",
    "v1.DNSPolicy": "PodSpec.dnsPolicy",
    "v1.DaemonSetUpdateStrategyType": "DaemonSetUpdateStrategy.type",
    "v1.DeploymentStrategyType": "DeploymentStrategy.type",
    "v1.DeviceAllocationMode": "DeviceSubRequest.allocationMode ExactDeviceRequest.allocationMode",
    "v1.DeviceTaintEffect": "DeviceTaint.effect DeviceToleration.effect",
    "v1.DeviceTolerationOperator": "DeviceToleration.operator",
    "v1.FSGroupPolicy": "CSIDriverSpec.fsGroupPolicy",
    "v1.FailurePolicyType": (
        "MutatingAdmissionPolicySpec.failurePolicy MutatingWebhook.failurePolicy "
        "ValidatingAdmissionPolicySpec.failurePolicy ValidatingWebhook.failurePolicy"
    ),
    "v1.FieldSelectorOperator": "FieldSelectorRequirement.operator",
    "v1.FieldValueErrorReason": "ValidationRule.reason",
    "v1.FinalizerName": "NamespaceSpec.finalizers",
    "v1.FlowDistinguisherMethodType": "FlowDistinguisherMethod.type",
    "v1.FullyQualifiedName": "DeviceConstraint.distinctAttribute DeviceConstraint.matchAttribute",
    "v1.HostPathType": "HostPathVolumeSource.type",
    "v1.IPFamily": "ServiceSpec.ipFamilies",
    "v1.IPFamilyPolicy": "ServiceSpec.ipFamilyPolicy",
    "v1.KeyUsage": "CertificateSigningRequestSpec.usages",
    "v1.LabelSelectorOperator": "LabelSelectorRequirement.operator",
    "v1.LimitResponseType": "LimitResponse.type",
    "v1.LimitType": "LimitRangeItem.type",
    "v1.LoadBalancerIPMode": "LoadBalancerIngress.ipMode",
    "v1.ManagedFieldsOperationType": "ManagedFieldsEntry.operation",
    "v1.MatchPolicyType": "MatchResources.matchPolicy MutatingWebhook.matchPolicy ValidatingWebhook.matchPolicy",
    "v1.MountPropagationMode": "VolumeMount.mountPropagation",
    "v1.NamespacePhase": "NamespaceStatus.phase",
    "v1.NodeAddressType": "NodeAddress.type",
    "v1.NodeInclusionPolicy": "TopologySpreadConstraint.nodeAffinityPolicy TopologySpreadConstraint.nodeTaintsPolicy",
    "v1.NodePhase": "NodeStatus.phase",
    "v1.NodeSelectorOperator": "NodeSelectorRequirement.operator",
    "v1.OSName": "PodOS.name",
    "v1.OperationType": "RuleWithOperations.operations",
    "v1.ParameterNotFoundActionType": "ParamRef.parameterNotFoundAction",
    "v1.PatchType": "Mutation.patchType",
    "v1.PathType": "HTTPIngressPath.pathType",
    "v1.PersistentVolumeAccessMode": (
        "PersistentVolumeClaimSpec.accessModes PersistentVolumeClaimStatus.accessModes PersistentVolumeSpec.accessModes"
    ),
    "v1.PersistentVolumeClaimModifyVolumeStatus": "ModifyVolumeStatus.status",
    "v1.PersistentVolumeClaimPhase": "PersistentVolumeClaimStatus.phase",
    "v1.PersistentVolumeClaimRetentionPolicyType": (
        "StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted "
        "StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled"
    ),
    "v1.PersistentVolumeMode": "PersistentVolumeClaimSpec.volumeMode PersistentVolumeSpec.volumeMode",
    "v1.PersistentVolumePhase": "PersistentVolumeStatus.phase",
    "v1.PersistentVolumeReclaimPolicy": (
        "PersistentVolumeSpec.persistentVolumeReclaimPolicy StorageClass.reclaimPolicy"
    ),
    "v1.PodConditionType": "PodFailurePolicyOnPodConditionsPattern.type PodReadinessGate.conditionType",
    "v1.PodFSGroupChangePolicy": "PodSecurityContext.fsGroupChangePolicy",
    "v1.PodFailurePolicyAction": "PodFailurePolicyRule.action",
    "v1.PodFailurePolicyOnExitCodesOperator": "PodFailurePolicyOnExitCodesRequirement.operator",
    "v1.PodManagementPolicyType": "StatefulSetSpec.podManagementPolicy",
    "v1.PodPhase": "PodStatus.phase",
    "v1.PodQOSClass": "PodStatus.qosClass",
    "v1.PodReplacementPolicy": "JobSpec.podReplacementPolicy",
    "v1.PodResizeStatus": "PodStatus.resize",
    "v1.PodSELinuxChangePolicy": "PodSecurityContext.seLinuxChangePolicy",
    "v1.PolicyType": "NetworkPolicySpec.policyTypes",
    "v1.PreemptionPolicy": "PodSpec.preemptionPolicy PriorityClass.preemptionPolicy",
    "v1.PriorityLevelEnablement": "PriorityLevelConfigurationSpec.type",
    "v1.ProcMountType": "SecurityContext.procMount",
    "v1.Protocol": (
        "ContainerPort.protocol EndpointPort.protocol PortStatus.protocol ServicePort.protocol "
        "IngressPortStatus.protocol NetworkPolicyPort.protocol"
    ),
    "v1.PullPolicy": "Container.imagePullPolicy ImageVolumeSource.pullPolicy",
    "v1.QualifiedName": "NodeAllocatableResourceMapping.capacityKey",
    "v1.RecursiveReadOnlyMode": "VolumeMount.recursiveReadOnly VolumeMountStatus.recursiveReadOnly",
    "v1.ReinvocationPolicyType": "MutatingAdmissionPolicySpec.reinvocationPolicy MutatingWebhook.reinvocationPolicy",
    "v1.RequestConditionType": "CertificateSigningRequestCondition.type",
    "v1.ResourceHealthStatus": "ResourceHealth.health",
    "v1.ResourceID": "ResourceHealth.resourceID",
    "v1.ResourceName": (
        "ContainerResourceMetricSource.name ContainerResourceMetricStatus.name ResourceMetricSource.name "
        "ResourceMetricStatus.name ContainerResizePolicy.resourceName ResourceStatus.name"
    ),
    "v1.ResourceQuotaScope": "ResourceQuotaSpec.scopes ScopedResourceSelectorRequirement.scopeName",
    "v1.ResourceResizeRestartPolicy": "ContainerResizePolicy.restartPolicy",
    "v1.ResourceScope": "CustomResourceDefinitionSpec.scope",
    "v1.RestartPolicy": "PodSpec.restartPolicy",
    "v1.ScopeSelectorOperator": "ScopedResourceSelectorRequirement.operator",
    "v1.SeccompProfileType": "SeccompProfile.type",
    "v1.SecretType": "Secret.type",
    "v1.ServiceAffinity": "ServiceSpec.sessionAffinity",
    "v1.ServiceExternalTrafficPolicy": "ServiceSpec.externalTrafficPolicy",
    "v1.ServiceInternalTrafficPolicy": "ServiceSpec.internalTrafficPolicy",
    "v1.ServiceType": "ServiceSpec.type",
    "v1.SideEffectClass": "MutatingWebhook.sideEffects ValidatingWebhook.sideEffects",
    "v1.Signal": "ContainerStatus.stopSignal Lifecycle.stopSignal",
    "v1.StatefulSetUpdateStrategyType": "StatefulSetUpdateStrategy.type",
    "v1.StorageMedium": "EmptyDirVolumeSource.medium",
    "v1.SupplementalGroupsPolicy": "PodSecurityContext.supplementalGroupsPolicy",
    "v1.TaintEffect": "Taint.effect Toleration.effect",
    "v1.TerminationMessagePolicy": "Container.terminationMessagePolicy",
    "v1.TolerationOperator": "Toleration.operator",
    "v1.URIScheme": "HTTPGetAction.scheme",
    "v1.UnhealthyPodEvictionPolicyType": "PodDisruptionBudgetSpec.unhealthyPodEvictionPolicy",
    "v1.UniqueVolumeName": "AttachedVolume.name NodeStatus.volumesInUse",
    "v1.UnsatisfiableConstraintAction": "TopologySpreadConstraint.whenUnsatisfiable",
    "v1.ValidationAction": "ValidatingAdmissionPolicyBindingSpec.validationActions",
    "v1.VolumeBindingMode": "StorageClass.volumeBindingMode",
    "v1.VolumeLifecycleMode": "CSIDriverSpec.volumeLifecycleModes",
    "v2.HPAScalingPolicyType": "HPAScalingPolicy.type",
    "v2.HorizontalPodAutoscalerConditionType": "HorizontalPodAutoscalerCondition.type",
    "v2.MetricSourceType": "MetricSpec.type MetricStatus.type",
    "v2.MetricTargetType": "MetricTarget.type",
    "v2.ScalingPolicySelect": "HPAScalingRules.selectPolicy",
}
_BY_FIELD: Final = {field: name for name, fields in _TEXTS.items() for field in fields.split()}

_REFERENCE: Final = ("LocalObjectReference", frozenset({"name"}))
_EMBEDDED: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "ConfigMapEnvSource": _REFERENCE,
    "ConfigMapKeySelector": _REFERENCE,
    "ConfigMapProjection": _REFERENCE,
    "ConfigMapVolumeSource": _REFERENCE,
    "SecretEnvSource": _REFERENCE,
    "SecretKeySelector": _REFERENCE,
    "SecretProjection": _REFERENCE,
    "IngressRule": ("IngressRuleValue", frozenset({"http"})),
    "Probe": ("ProbeHandler", frozenset({"exec", "grpc", "httpGet", "tcpSocket"})),
}
# Of these all fields but a few are in the struct inside.
_REST: Final[dict[str, tuple[str, frozenset[str]]]] = {
    "EphemeralContainer": ("EphemeralContainerCommon", frozenset({"targetContainerName"})),
    "PersistentVolumeSpec": (
        "PersistentVolumeSource",
        frozenset(
            {
                "accessModes",
                "capacity",
                "claimRef",
                "mountOptions",
                "nodeAffinity",
                "persistentVolumeReclaimPolicy",
                "storageClassName",
                "volumeAttributesClassName",
                "volumeMode",
            }
        ),
    ),
    "Volume": ("VolumeSource", frozenset({"name"})),
}


def text(struct: str, field: str) -> str:
    """Name the type of a text field."""
    if field == "uid":
        return "types.UID"
    if struct.endswith("Condition") and struct != "Condition":
        if field == "status":
            return "v1.ConditionStatus"
        if field == "type":
            return _BY_FIELD.get(f"{struct}.type", f"v1.{struct}Type")
    return _BY_FIELD.get(f"{struct}.{field}", "string")


def inside(struct: str, field: str) -> str:
    """Name the embedded struct that a field stands in; empty for a field of the struct itself."""
    name, fields = _EMBEDDED.get(struct, ("", frozenset()))
    if field in fields:
        return name
    name, others = _REST.get(struct, ("", frozenset({field})))
    return "" if field in others else name
