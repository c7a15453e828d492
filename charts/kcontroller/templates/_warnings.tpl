{{- /* One line for each value that is allowed and risky. */ -}}
{{- define "kcontroller.warnings" -}}
{{- if not (or .Values.plugins.entryPoints .Values.plugins.allPlugins .Values.plugins.modules .Values.plugins.sources .Values.plugins.trialFiles) }}
* plugins: nothing is named. Unless the image names it (ENV KCONTROLLER_PLUGIN), the pods end with "nothing to run".
{{- end }}
{{- if .Values.plugins.trialFiles }}
* plugins.trialFiles: who may write the ConfigMap acts with the controller's rights; build an image for production.
{{- end }}
{{- if .Values.plugins.allPlugins }}
* plugins.allPlugins: all code in the image that declares a plugin runs with the controller's rights.
{{- end }}
{{- if not .Values.leaderElection.enabled }}
* leaderElection.enabled: without it an update has a gap, and a pod on a lost node may work beside its successor.
{{- end }}
{{- if and (not .Values.image.digest) (eq .Values.image.tag "latest") }}
* image.tag: nobody knows what "latest" is; name a version or a digest.
{{- end }}
{{- if and (include "kcontroller.securesMetrics" .) (not .Values.metrics.certSecretName) }}
* metrics.certSecretName: without it nobody who reads metrics can verify whose they are.
{{- end }}
{{- if and (include "kcontroller.securesMetrics" .) .Values.scope.namespaces .Values.rbac.create }}
* metrics.secure: who may read them is asked of the whole cluster, by a ClusterRole in spite of scope.namespaces.
{{- end }}
{{- if and .Values.kubeconfig.secretName (or .Values.rbac.rules .Values.rbac.clusterRules) }}
* rbac: the rules are for the pod's service account; the kubeconfig brings the rights of its own user.
{{- end }}
{{- if and (not .Values.rbac.rules) (not .Values.rbac.clusterRules) (not .Values.kubeconfig.secretName) .Values.rbac.create }}
* rbac.rules: there are none, so the controllers can read nothing and stay unready.
{{- end }}
{{- if and (eq .Values.provider.name "kubeconfig") (not (hasKey .Values.provider.options "allow-hosts")) }}
* provider.options.allow-hosts: who may write the Secrets decides where the pods connect; name the hosts.
{{- end }}
{{- range concat .Values.rbac.rules .Values.rbac.clusterRules }}
{{- $all := concat (default list .apiGroups) (default list .resources) (default list .verbs) (default list .nonResourceURLs) }}
{{- if has "*" $all }}
* rbac: a rule with "*" also allows what is added to the cluster later; name groups, resources and verbs.
{{- end }}
{{- range tuple "escalate" "bind" "impersonate" }}
{{- if has . $all }}
* rbac: the verb {{ . }} lets the controllers become anybody.
{{- end }}
{{- end }}
{{- if and (has "secrets" $all) (has "list" $all) (not $.Values.scope.namespaces) }}
* rbac: the controllers may read every Secret of the cluster; limit them by scope.namespaces.
{{- end }}
{{- end }}
{{- end }}
